//! Operators that keep the elements and change the shape around them.

use super::Row;
use super::constant::sizes;
use crate::onnx::extent::Extent;
use crate::onnx::node::{Imported, NodeImport, Problem, invalid, unsupported};
use crate::onnx::padded::{Padded, REFUSED, reshaped};

pub(super) const TABLE: &[Row] = &[
    ("", "Reshape", reshape),
    ("", "Flatten", flatten),
    ("", "Squeeze", squeeze),
    ("", "Unsqueeze", unsqueeze),
    ("", "Expand", expand),
    ("", "Tile", tile),
    ("", "DepthToSpace", depth_to_space),
    ("", "SpaceToDepth", space_to_depth),
];

/// The shape is an attribute before operator set 5, and an input from then on. A size of 0 keeps the input's (unless `allowzero`), and one size of -1 takes what is left.
/// A size that a run decides is that of the rows of which a run decides how many mean something.
fn reshape(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let extents: Vec<Extent> = if node.opset < 5 {
        let shape = node.attributes.ints("shape")?.ok_or("attribute `shape` is missing")?;
        shape.iter().map(|&size| Extent::exact(size)).collect()
    } else {
        node.extents(node.input(1)?, "the shape")?
    };
    let allow_zero = node.attributes.int("allowzero")?.unwrap_or(0) != 0;
    let from = node.dims(x);
    let mut asked: Vec<i64> = extents.iter().map(|extent| extent.most).collect();
    let mut varying = extents.iter().position(|extent| extent.term().is_some());
    match varying {
        // It is what is left, unless that is asked of another one; the two agree in any run.
        Some(axis) if !asked.contains(&-1) && node.padded(x).is_some() => asked[axis] = -1,
        Some(_) if node.padded(x).is_none() => return unsupported(REFUSED),
        _ => {}
    }
    let (dims, open) = sizes_of_reshape(&from, &asked, allow_zero)?;
    let keeps = node.padded(x).and_then(|padded| {
        let keeps = asked.get(padded.axis) == Some(&0) && !allow_zero;
        keeps.then_some(padded.axis)
    });
    varying = keeps.or(varying).or(open);
    let rows = reshaped(node, x, &dims, varying)?;
    let result = node.reshape(x, &dims)?;
    node.agreeing(vec![result], &[rows])
}

/// The sizes that are asked for, and the axis that takes what is left.
fn sizes_of_reshape(from: &[u64], asked: &[i64], allow_zero: bool) -> Result<(Vec<u64>, Option<usize>), Problem> {
    let mut dims = Vec::with_capacity(asked.len());
    let mut open = None;
    for (axis, &size) in asked.iter().enumerate() {
        dims.push(match size {
            -1 if open.replace(axis).is_some() => return invalid(format!("the shape {asked:?} holds -1 twice")),
            -1 => 1,
            0 if !allow_zero => {
                *from.get(axis).ok_or_else(|| format!("the shape {asked:?} keeps axis {axis}, but the input has shape {from:?}"))?
            }
            size => u64::try_from(size).map_err(|_| format!("the shape {asked:?} holds {size}"))?,
        });
    }
    if let Some(axis) = open {
        let total: u64 = from.iter().product();
        let others = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim)).unwrap_or(0);
        if others == 0 || !total.is_multiple_of(others) {
            return invalid(format!("{from:?} cannot be given the shape {asked:?}"));
        }
        dims[axis] = total / others;
    }
    Ok((dims, open))
}

/// Two axes: what lies before `axis`, and the rest.
fn flatten(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let axis = node.attributes.int("axis")?.unwrap_or(1);
    let at = if axis < 0 { axis.saturating_add(dims.len() as i64) } else { axis };
    let at = usize::try_from(at).ok().filter(|&at| at <= dims.len()).ok_or_else(|| format!("axis {axis} is outside {dims:?}"))?;
    let (rows, columns) = dims.split_at(at);
    let sizes = [rows.iter().product(), columns.iter().product()];
    let open = node.padded(x).map(|padded| usize::from(padded.axis >= at));
    let rows = reshaped(node, x, &sizes, open)?;
    let flat = node.reshape(x, &sizes)?;
    node.agreeing(vec![flat], &[rows])
}

/// Axes are an attribute up to operator set 12, and input 1 from then on.
fn axes(node: &NodeImport<'_>) -> Result<Option<Vec<i64>>, Problem> {
    if node.opset < 13 {
        return Ok(node.attributes.ints("axes")?.map(<[i64]>::to_vec));
    }
    node.optional(1).map(|axes| node.known_integers(axes, "the list of axes")).transpose()
}

fn squeeze(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let dropped = match axes(node)? {
        Some(axes) => node.axes(&axes, dims.len())?,
        None => (0..dims.len()).filter(|&axis| dims[axis] == 1).collect(),
    };
    if let Some(axis) = dropped.iter().find(|&&axis| dims[axis] != 1) {
        return invalid(format!("axis {axis} of {dims:?} cannot be dropped, since its size is not 1"));
    }
    let kept: Vec<u64> = dims.iter().enumerate().filter(|(axis, _)| !dropped.contains(axis)).map(|(_, &dim)| dim).collect();
    let squeezed = node.reshape(x, &kept)?;
    // The one row that there could be is there where it is an axis of its own no more.
    let rows = node.padded(x).filter(|padded| !dropped.contains(&padded.axis));
    let before = |padded: Padded| dropped.iter().filter(|&&axis| axis < padded.axis).count();
    node.agreeing(vec![squeezed], &[rows.map(|padded| Padded { axis: padded.axis - before(padded), ..padded })])
}

fn unsqueeze(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let dims = node.dims(x);
    let Some(axes) = axes(node)? else { return invalid("the list of axes is missing") };
    let added = node.axes(&axes, dims.len() + axes.len())?;
    let mut old = dims.iter().copied();
    let new: Vec<u64> = (0..dims.len() + axes.len()).map(|axis| if added.contains(&axis) { 1 } else { old.next().unwrap_or(1) }).collect();
    let unsqueezed = node.reshape(x, &new)?;
    let mut places = (0..new.len()).filter(|axis| !added.contains(axis));
    let rows = node.padded(x).and_then(|padded| places.nth(padded.axis).map(|axis| Padded { axis, ..padded }));
    node.agreeing(vec![unsqueezed], &[rows])
}

/// Stretches to what the input's shape and the asked one broadcast to.
fn expand(node: &mut NodeImport<'_>) -> Imported {
    let (x, shape) = (node.input(0)?, node.input(1)?);
    let asked = node.extents(shape, "the shape")?;
    sizes(&asked.iter().map(|extent| extent.most).collect::<Vec<_>>())?;
    let rank = node.rank(x).max(asked.len());
    let own: Vec<Extent> = (0..node.rank(x)).map(|axis| node.rows_along(x, axis)).collect();
    let at = |sizes: &[Extent], axis: usize| (axis + sizes.len()).checked_sub(rank).map_or(Extent::exact(1), |axis| sizes[axis]);
    let stretched: Vec<Extent> =
        (0..rank).map(|axis| if at(&own, axis).known() == Some(1) { at(&asked, axis) } else { at(&own, axis) }).collect();
    Ok(vec![super::rows::stretched(node, x, &stretched)?])
}

/// Each axis gains one before it that is stretched to the number of repeats, and is merged with it.
fn tile(node: &mut NodeImport<'_>) -> Imported {
    let (x, repeats) = (node.input(0)?, node.input(1)?);
    let repeats = sizes(&node.known_integers(repeats, "the list of repeats")?)?;
    let dims = node.dims(x);
    if repeats.len() != dims.len() {
        return invalid(format!("{} repeats are given for shape {dims:?}", repeats.len()));
    }
    let split: Vec<u64> = dims.iter().flat_map(|&dim| [1, dim]).collect();
    let stretched: Vec<u64> = dims.iter().zip(&repeats).flat_map(|(&dim, &count)| [count, dim]).collect();
    let merged = dims
        .iter()
        .zip(&repeats)
        .map(|(&dim, &count)| dim.checked_mul(count))
        .collect::<Option<Vec<_>>>()
        .ok_or("the result's size overflows")?;
    let x = node.reshape(x, &split)?;
    let x = node.broadcast(x, &stretched)?;
    Ok(vec![node.reshape(x, &merged)?])
}

/// The block size, and the sizes of an NCHW input.
fn block(node: &NodeImport<'_>) -> Result<(u64, [u64; 4]), Problem> {
    let dims = node.dims(node.input(0)?);
    let size = node.attributes.int("blocksize")?.unwrap_or(0);
    let dims = <[u64; 4]>::try_from(dims).map_err(|dims| format!("the input has shape {dims:?}, but must have rank 4"))?;
    match u64::try_from(size) {
        Ok(size) if (1..1 << 16).contains(&size) => Ok((size, dims)),
        _ => invalid(format!("blocksize is {size}")),
    }
}

fn depth_to_space(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let (block, [n, c, h, w]) = block(node)?;
    if c % (block * block) != 0 {
        return invalid(format!("{c} channels cannot be split into blocks of {block} x {block}"));
    }
    let depth = c / (block * block);
    let (split, perm) = match node.attributes.string("mode")?.unwrap_or("DCR") {
        "DCR" => ([n, block, block, depth, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, depth, block, block, h, w], [0, 1, 4, 2, 5, 3]),
        other => return invalid(format!("mode is `{other}`")),
    };
    let x = node.reshape(x, &split)?;
    let x = node.transpose(&perm, x)?;
    Ok(vec![node.reshape(x, &[n, depth, h * block, w * block])?])
}

fn space_to_depth(node: &mut NodeImport<'_>) -> Imported {
    let x = node.input(0)?;
    let (block, [n, c, h, w]) = block(node)?;
    if h % block != 0 || w % block != 0 {
        return invalid(format!("an image of {h} x {w} cannot be split into blocks of {block} x {block}"));
    }
    let perm = match node.attributes.string("mode")?.unwrap_or("DCR") {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        other => return invalid(format!("mode is `{other}`")),
    };
    let x = node.reshape(x, &[n, c, h / block, block, w / block, block])?;
    let x = node.transpose(&perm, x)?;
    Ok(vec![node.reshape(x, &[n, c * block * block, h / block, w / block])?])
}
