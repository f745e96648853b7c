//! What this machine can do at most, measured: the denominators of a roofline.

use crate::isa::Isa;
use crate::simd::{DotFormat, Simd};
use std::hint::black_box;
use std::time::Instant;

/// Independent chains of products: more than the latency of a product times the products started a cycle, and fewer than there are registers.
const CHAINS: usize = 12;

/// Floats that are read to measure the memory: more than any cache but the largest holds.
const STREAM: usize = 24 << 20;

/// The highest rates of some threads of this machine together, in units of `10^9` a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Multiply-accumulates of `f32`, from registers.
    pub f32_gmacs: f64,
    /// Multiply-accumulates of bytes into 32 bits, from registers.
    pub int8_gmacs: f64,
    /// Bytes read from memory in order.
    pub memory_gbs: f64,
}

/// One instruction set's probes: each does `rounds` of what it measures.
struct Probes {
    f32: unsafe fn(usize),
    int8: unsafe fn(usize),
    read: unsafe fn(&[f32]),
    lanes: usize,
    dot: usize,
}

impl Peak {
    /// Measures for about a fifth of a second, with the best instruction set and as many threads at once.
    pub fn measure(threads: usize) -> Peak {
        let probes = probes(Isa::best());
        let products = |each: usize| move |rounds: usize| (rounds * CHAINS * each) as f64;
        // SAFETY: `probes` answers what this processor runs.
        let f32_gmacs = rate(threads, products(probes.lanes), &|rounds| unsafe { (probes.f32)(rounds) });
        // SAFETY: as above.
        let int8_gmacs = rate(threads, products(probes.lanes * probes.dot), &|rounds| unsafe { (probes.int8)(rounds) });
        let data = vec![1.0_f32; STREAM];
        let share = STREAM / threads.max(1);
        let bytes = (share * size_of::<f32>() * threads.max(1)) as f64;
        let seconds = best_of(8, threads, &|thread| {
            // SAFETY: as above.
            unsafe { (probes.read)(&data[thread * share..(thread + 1) * share]) }
        });
        Peak { f32_gmacs, int8_gmacs, memory_gbs: bytes / seconds / 1e9 }
    }
}

/// The greatest rate of a probe: what `amount(rounds)` a thread makes, a second and over all threads, in `10^9`.
fn rate(threads: usize, amount: impl Fn(usize) -> f64, probe: &(dyn Fn(usize) + Sync)) -> f64 {
    let mut rounds = 10_000;
    // Long enough that the clock and the start of threads do not count.
    while best_of(5, 1, &|_| probe(rounds)) < 5e-4 {
        rounds *= 2;
    }
    // Many short turns: some of them fall where nothing else runs on the processor.
    let seconds = best_of(50, threads, &|_| probe(rounds));
    amount(rounds) * threads.max(1) as f64 / seconds / 1e9
}

/// The least seconds of several `turns` that all threads take to do `work(thread)`.
fn best_of(turns: usize, threads: usize, work: &(dyn Fn(usize) + Sync)) -> f64 {
    let once = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for thread in 1..threads {
                scope.spawn(move || work(thread));
            }
            work(0);
        });
        start.elapsed().as_secs_f64()
    };
    (0..turns).map(|_| once()).fold(f64::INFINITY, f64::min)
}

/// Chains of `sum * a + b`: each product needs the sum before it, so that none can be shared or moved out of the loop.
#[inline(always)]
unsafe fn f32_chains<V: Simd>(rounds: usize) {
    // SAFETY: the caller's promise; the store has room for a vector.
    unsafe {
        let (a, b) = (V::splat(black_box(0.5)), V::splat(black_box(0.25)));
        let mut sums = [V::splat(0.0); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = V::fma(*sum, a, b);
            }
        }
        let mut room = [0.0_f32; 16];
        for sum in sums {
            V::store(room.as_mut_ptr(), sum);
            black_box(room);
        }
    }
}

/// Chains of byte dot products, likewise.
#[inline(always)]
unsafe fn int8_chains<V: Simd>(rounds: usize) {
    // SAFETY: the caller's promise; the store has room for a vector.
    unsafe {
        let weights = V::isplat(black_box(0x0001_0203));
        let mut sums = [V::isplat(black_box(0x0102_0304)); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = V::dot(*sum, *sum, weights);
            }
        }
        let mut room = [0_i32; 16];
        for sum in sums {
            V::istore(room.as_mut_ptr(), sum);
            black_box(room);
        }
    }
}

/// Reads all of `data`, whose length beyond a multiple of eight vectors is left out.
#[inline(always)]
unsafe fn read<V: Simd>(data: &[f32]) {
    let step = 8 * V::LANES;
    // SAFETY: the caller's promise; every load lies inside a chunk, and the store has room for a vector.
    unsafe {
        let mut sums = [V::splat(0.0); 8];
        for chunk in data.chunks_exact(step) {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = V::add(*sum, V::load(chunk.as_ptr().add(i * V::LANES)));
            }
        }
        let mut room = [0.0_f32; 16];
        for sum in sums {
            V::store(room.as_mut_ptr(), sum);
            black_box(room);
        }
    }
}

macro_rules! probes {
    ($simd:ty $(, #[$features:meta])?) => {{
        $(#[$features])?
        unsafe fn f32(rounds: usize) {
            // SAFETY: the features are enabled, and the caller promises that the processor has them.
            unsafe { f32_chains::<$simd>(rounds) }
        }
        $(#[$features])?
        unsafe fn int8(rounds: usize) {
            // SAFETY: as above.
            unsafe { int8_chains::<$simd>(rounds) }
        }
        $(#[$features])?
        unsafe fn stream(data: &[f32]) {
            // SAFETY: as above.
            unsafe { read::<$simd>(data) }
        }
        let dot = if <$simd as Simd>::DOT == DotFormat::PairsI16 { 2 } else { 4 };
        Probes { f32, int8, read: stream, lanes: <$simd as Simd>::LANES, dot }
    }};
}

/// The probes of an instruction set that this processor runs.
fn probes(isa: Isa) -> Probes {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => probes!(crate::simd::avx2::Avx2, #[target_feature(enable = "avx2,fma")]),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => probes!(crate::simd::avx512::Avx512, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => {
            probes!(crate::simd::avx512::Avx512Vnni, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")])
        }
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => probes!(crate::simd::neon::Neon, #[target_feature(enable = "neon,dotprod")]),
        _ => probes!(crate::simd::portable::Portable<4>),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_positive_and_finite() {
        let peak = Peak::measure(1);
        assert!(peak.f32_gmacs > 0.01 && peak.int8_gmacs > 0.01 && peak.memory_gbs > 0.01, "{peak:?}");
        assert!(peak.f32_gmacs.is_finite() && peak.int8_gmacs.is_finite() && peak.memory_gbs.is_finite(), "{peak:?}");
    }
}
