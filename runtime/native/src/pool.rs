//! Threads that wait for the next step: spinning at first, then parked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// Rounds of spinning before a thread parks: some tens of microseconds, the time between two steps of a run.
const SPINS: u32 = 3_000;

type Job<'a> = dyn Fn(usize) + Sync + 'a;

/// What the caller and its threads share.
struct Shared {
    /// Counts jobs.
    generation: AtomicU64,
    /// The present job: a pointer to a fat reference on the caller's stack, valid until `running` is 0.
    job: AtomicPtr<&'static Job<'static>>,
    /// Threads that have not finished the present job.
    running: AtomicUsize,
    /// Set when a thread's share panicked.
    failed: AtomicBool,
    stop: AtomicBool,
    parked: Vec<AtomicBool>,
}

/// A fixed number of threads, the caller counted as the first.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of at most `threads` threads; fewer where the system gives no more.
    pub(crate) fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            generation: AtomicU64::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            running: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            parked: (1..threads).map(|_| AtomicBool::new(false)).collect(),
        });
        let spawn = |index: usize| {
            let shared = shared.clone();
            thread::Builder::new().name(format!("mlp-{index}")).spawn(move || work(&shared, index)).ok()
        };
        let threads = (1..threads).map_while(spawn).collect();
        Pool { shared, threads }
    }

    /// Threads that take part.
    pub(crate) fn size(&self) -> usize {
        self.threads.len() + 1
    }

    /// Calls `job` with each thread's number, all at once, and returns when all have returned.
    ///
    /// # Panics
    /// If a share panicked.
    pub(crate) fn run(&mut self, job: &Job<'_>) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime is lengthened. `Finish` waits for all threads before this function ends, by return or unwinding, and they do not keep the reference.
        let mut job: &'static Job<'static> = unsafe { std::mem::transmute::<&Job<'_>, &'static Job<'static>>(job) };
        let first = job;
        shared.running.store(self.threads.len(), Ordering::Relaxed);
        shared.job.store(&raw mut job, Ordering::Relaxed);
        shared.generation.fetch_add(1, Ordering::SeqCst);
        for (thread, parked) in self.threads.iter().zip(&shared.parked) {
            if parked.load(Ordering::SeqCst) {
                thread.thread().unpark();
            }
        }
        let finish = Finish(shared);
        first(0);
        drop(finish);
        assert!(!shared.failed.swap(false, Ordering::Relaxed), "a share of a kernel panicked");
    }
}

/// Waits for the threads when dropped.
struct Finish<'a>(&'a Shared);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let mut spins = 0_u32;
        while self.0.running.load(Ordering::Acquire) != 0 {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}

/// Counts a thread's share as done when dropped.
struct Share<'a>(&'a Shared);

impl Drop for Share<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.failed.store(true, Ordering::Relaxed);
        }
        self.0.running.fetch_sub(1, Ordering::Release);
    }
}

fn work(shared: &Shared, index: usize) {
    let mut done = 0;
    loop {
        let mut spins = 0_u32;
        while shared.generation.load(Ordering::Acquire) == done && !shared.stop.load(Ordering::Relaxed) {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
                continue;
            }
            let parked = &shared.parked[index - 1];
            parked.store(true, Ordering::SeqCst);
            // Asked again after the flag is up, so that a job between the two is not slept through.
            if shared.generation.load(Ordering::SeqCst) == done && !shared.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            parked.store(false, Ordering::SeqCst);
        }
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        done += 1;
        let share = Share(shared);
        let job = shared.job.load(Ordering::Relaxed);
        // SAFETY: the caller stays in `run`, which holds the reference, until this share is counted as done.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| unsafe { (*job)(index) }));
        if result.is_err() {
            shared.failed.store(true, Ordering::Relaxed);
        }
        drop(share);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A share's panic was reported by `run`.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_takes_its_share_of_every_job() {
        let mut pool = Pool::new(3);
        let size = pool.size();
        let sums: Vec<AtomicUsize> = (0..size).map(|_| AtomicUsize::new(0)).collect();
        for round in 1..=200 {
            pool.run(&|index| {
                sums[index].fetch_add(round, Ordering::Relaxed);
            });
            if round % 50 == 0 {
                // Long enough for the threads to park.
                thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        assert!(sums.iter().all(|sum| sum.load(Ordering::Relaxed) == 200 * 201 / 2));
    }

    #[test]
    fn a_panic_in_a_share_reaches_the_caller_and_the_pool_goes_on() {
        let mut pool = Pool::new(2);
        if pool.size() < 2 {
            return;
        }
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.run(&|index| assert_ne!(index, 1, "meant to fail"))));
        assert!(caught.is_err());
        let ran = AtomicUsize::new(0);
        pool.run(&|_| {
            ran.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    }
}
