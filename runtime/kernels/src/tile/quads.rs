//! How depthwise tiles that read quads of columns have their pointers and weights (see `stencil_vnni`).

/// Columns that an input row's interleaved quads take, for `pixels` pixels.
pub(crate) const fn quad_columns(pixels: usize, kw: usize, step: usize) -> usize {
    ((pixels - 1) * step + kw).next_multiple_of(4)
}

/// Weights of `[16 channels][4]` for each place of a row of taps against a quad of columns: the first tap lies `place - (kw - 1)` columns into the quad.
pub(crate) const fn places(kw: usize) -> usize {
    kw + 3
}

/// Channels of the group that begins `left` channels before the (rounded up) end.
pub(crate) const fn group(left: usize) -> usize {
    match left {
        64.. => 64,
        32.. => 32,
        _ => 16,
    }
}

/// Weights `[kh][kw][padded]` as the tiles read them: `[group][kh][place][vector of four][lane][4 channels][4 columns]`.
pub(crate) fn pack(weights: &[u8], [kh, kw]: [usize; 2], padded: usize) -> Vec<u32> {
    let mut packed = Vec::with_capacity(padded * kh * places(kw));
    let mut from = 0;
    while from < padded {
        let channels = group(padded - from);
        for (y, place) in (0..kh).flat_map(|y| (0..places(kw)).map(move |place| (y, place))) {
            let byte = |c: usize, column: usize| match (column + kw - 1).checked_sub(place) {
                Some(x) if x < kw => weights[(y * kw + x) * padded + c],
                _ => 0,
            };
            for slot in 0..channels {
                let (vector, lane, element) = (slot / (channels / 4), slot % (channels / 4) / 4, slot % 4);
                let c = from + lane * 16 + vector * 4 + element;
                packed.push(u32::from_le_bytes([byte(c, 0), byte(c, 1), byte(c, 2), byte(c, 3)]));
            }
        }
        from += channels;
    }
    packed
}
