//! Times the layers of EfficientNet-Lite0 on one thread, least of several runs: `cargo run --release -p mlp-kernels --example layers [isa]`.
#![allow(unsafe_code)]

use mlp_kernels::{
    Contraction, ContractionBuffers, DepthwiseBuffers, DepthwiseConv, FinishF32, FinishI8, Isa, Kernels, Requantization, ResidualAdd,
    Window,
};
use std::time::Instant;

const SMALL: &str = "windows of this size fit";

/// Input size, channels in and out, taps, stride; depthwise where out is 0.
const LAYERS: [(usize, usize, usize, usize, usize); 22] = [
    (224, 3, 32, 3, 2),
    (112, 32, 0, 3, 1),
    (112, 32, 16, 1, 1),
    (112, 16, 96, 1, 1),
    (112, 96, 0, 3, 2),
    (56, 96, 24, 1, 1),
    (56, 24, 144, 1, 1),
    (56, 144, 0, 3, 1),
    (56, 144, 24, 1, 1),
    (56, 144, 0, 5, 2),
    (28, 144, 40, 1, 1),
    (28, 240, 0, 5, 1),
    (28, 240, 0, 3, 2),
    (14, 480, 80, 1, 1),
    (14, 80, 480, 1, 1),
    (14, 480, 0, 5, 1),
    (14, 672, 112, 1, 1),
    (7, 672, 192, 1, 1),
    (7, 192, 1152, 1, 1),
    (7, 1152, 0, 5, 1),
    (7, 1152, 320, 1, 1),
    (7, 320, 1280, 1, 1),
];

fn window((size, in_c, out_c, taps, stride): (usize, usize, usize, usize, usize)) -> Window {
    let out = size.div_ceil(stride);
    Window {
        batch: 1,
        in_h: size,
        in_w: size,
        in_c,
        in_pixel: in_c,
        in_offset: 0,
        out_h: out,
        out_w: out,
        out_c: if out_c == 0 { in_c } else { out_c },
        kernel: [taps; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        pad: [((out - 1) * stride + taps).saturating_sub(size) / 2; 2],
    }
}

/// Microseconds of the fastest of some runs.
fn fastest(mut run: impl FnMut()) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..25 {
        let start = Instant::now();
        run();
        least = least.min(start.elapsed().as_secs_f64() * 1e6);
    }
    least
}

fn aligned(bytes: usize) -> (Vec<u8>, usize) {
    let memory = vec![0_u8; bytes + 128];
    let skip = memory.as_ptr().align_offset(64);
    (memory, skip)
}

fn main() {
    let isa = std::env::args().nth(1).and_then(|name| Isa::from_name(&name)).unwrap_or_else(Isa::best);
    let Some(kernels) = Kernels::get(isa) else {
        eprintln!("this machine does not run {isa}");
        return;
    };
    println!("{isa}: microseconds and multiplications a nanosecond");
    for layer in LAYERS {
        let w = window(layer);
        let depthwise = layer.2 == 0;
        let elements = w.in_h * w.in_w * w.in_c;
        let taps = w.kernel[0] * w.kernel[1];
        let (input, at) = aligned(elements * 4 + 64);
        let weights_len = if depthwise { taps } else { taps * w.in_c.next_multiple_of(4) } * w.out_c.next_multiple_of(16);
        let (weights, weights_at) = aligned(weights_len * 4);
        let (mut output, out_at) = aligned(w.pixels() * w.out_c * 4);
        let (mut scratch, scratch_at) = aligned(8 << 20);
        let out = output[out_at..].as_mut_ptr();
        let area = scratch[scratch_at..].as_mut_ptr();
        let finish = FinishF32 {
            out: out.cast(),
            out_pixel: w.out_c,
            residual: std::ptr::null(),
            residual_pixel: 0,
            residual_cols: 0,
            lo: 0.0,
            hi: 6.0,
        };
        let requantization = Requantization::new(&vec![1 << 20; w.out_c], 31, 0, 0, 255, |_| [i64::MIN, i64::MAX]).expect("small factors");
        let finish_int = FinishI8 {
            out,
            out_pixel: w.out_c,
            requantization: &requantization,
            residual: std::ptr::null(),
            residual_pixel: 0,
            add: ResidualAdd::default(),
        };
        let (input, weights_ptr) = (input[at..].as_ptr(), weights[weights_at..].as_ptr());
        let bytes = &weights[weights_at..];
        // SAFETY (both): the buffers are as long as the window asks for, and aligned.
        let (f32_time, int_time) = if depthwise {
            let buffers = DepthwiseBuffers { input, weights: weights_ptr, scratch: area };
            let (float, int) =
                (DepthwiseConv::f32(kernels, w, &[]).expect(SMALL), DepthwiseConv::int8(kernels, w, false, 0, bytes, &[]).expect(SMALL));
            let f32_time = fastest(|| unsafe { float.run_f32(0..float.items(), &buffers, &finish) });
            (f32_time, fastest(|| unsafe { int.run_i8(0..int.items(), &buffers, &finish_int) }))
        } else {
            let buffers = ContractionBuffers { input, weights: weights_ptr, scales: std::ptr::null(), scratch: area };
            let (float, int) =
                (Contraction::f32(kernels, w, &[], 1).expect(SMALL), Contraction::int8(kernels, w, false, 0, bytes, &[], 1).expect(SMALL));
            assert!(float.scratch_bytes().max(int.scratch_bytes()) <= 8 << 20);
            let f32_time = fastest(|| unsafe { float.run_f32(0..float.items(), &buffers, &finish) });
            (f32_time, fastest(|| unsafe { int.run_i8(0..int.items(), &buffers, &finish_int) }))
        };
        let macs = (w.pixels() * w.out_c * taps * if depthwise { 1 } else { w.in_c }) as f64;
        let speed = |micros: f64| macs / micros / 1e3;
        println!(
            "{:>3} x {:>4} -> {:>4} {}x{} / {}   f32 {f32_time:>7.1} {:>6.1}   int8 {int_time:>7.1} {:>6.1}",
            layer.0,
            layer.1,
            w.out_c,
            layer.3,
            layer.3,
            layer.4,
            speed(f32_time),
            speed(int_time)
        );
    }
}
