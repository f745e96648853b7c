//! How depthwise tiles that read quads of bytes a channel (`stencil_vnni`) have their pointers, weights and channels.
//!
//! Four rows of taps make a quad a column, which meets each pixel that reaches the column with one weight; so do three. One or two rows that are left take quads of
//! four columns instead, which pixels meet at different places.

/// Columns that an input row's pointers take, for `pixels` pixels.
pub(crate) const fn quad_columns(pixels: usize, kw: usize, step: usize) -> usize {
    ((pixels - 1) * step + kw).next_multiple_of(4)
}

/// Quads of rows among `kh` rows of taps.
pub(crate) const fn row_quads(kh: usize) -> usize {
    kh.div_ceil(4) - (kh % 4 == 1 || kh % 4 == 2) as usize
}

/// Places of a row of taps against a quad of columns: the first tap lies `place - (kw - 1)` columns into the quad.
pub(crate) const fn places(kw: usize) -> usize {
    kw + 3
}

/// Weights of four bytes that a channel has.
pub(crate) const fn channel_quads([kh, kw]: [usize; 2]) -> usize {
    row_quads(kh) * kw + kh.saturating_sub(row_quads(kh) * 4) * places(kw)
}

/// Channels of the group that begins `left` channels before the (rounded up) end.
pub(crate) const fn group(left: usize) -> usize {
    match left {
        64.. => 64,
        32.. => 32,
        _ => 16,
    }
}

/// The channels, up to a multiple of 16, in the order that interleaving leaves them in: `[group][vector of four][lane][4]`.
pub(crate) fn order(channels: usize) -> Vec<usize> {
    let padded = channels.next_multiple_of(16);
    let mut order = Vec::with_capacity(padded);
    while order.len() < padded {
        let (from, channels) = (order.len(), group(padded - order.len()));
        let lanes = channels / 16;
        order.extend((0..channels).map(|slot| from + slot / 4 % lanes * 16 + slot / (4 * lanes) * 4 + slot % 4));
    }
    order
}

/// Weights `[kh][kw][padded]` as the tiles read them, a group of channels after the other: `[row quad][kw]`, then `[row][place]`, of the group's channels in
/// their [`order`] with four bytes each.
pub(crate) fn pack(weights: &[u8], [kh, kw]: [usize; 2], padded: usize) -> Vec<u32> {
    let order = order(padded);
    let quads = row_quads(kh);
    let byte = |y: usize, x: usize, c: usize| if y < kh && x < kw { weights[(y * kw + x) * padded + c] } else { 0 };
    let mut packed = Vec::with_capacity(padded * channel_quads([kh, kw]));
    let mut from = 0;
    while from < padded {
        let channels = &order[from..from + group(padded - from)];
        for (quad, x) in (0..quads).flat_map(|quad| (0..kw).map(move |x| (quad, x))) {
            packed.extend(channels.iter().map(|&c| u32::from_le_bytes([0, 1, 2, 3].map(|row| byte(quad * 4 + row, x, c)))));
        }
        for (y, place) in (quads * 4..kh).flat_map(|y| (0..places(kw)).map(move |place| (y, place))) {
            // A column before the first tap is a great one.
            let tap = |column: usize| (column + kw - 1).wrapping_sub(place);
            packed.extend(channels.iter().map(|&c| u32::from_le_bytes([0, 1, 2, 3].map(|column| byte(y, tap(column), c)))));
        }
        from += channels.len();
    }
    packed
}
