//! What a run is given: symbols out of the sizes of inputs, and the check of all that a caller passes.

use super::{Plan, Port, Size};
use cranelift_entity::EntityRef;

impl Plan {
    /// The plan's symbols of a run whose inputs have these shapes, in the order of the input ports. `known` are the values of symbols by name that no shape says. Of what
    /// neither says the least value is taken. A shape that the plan does not take is an error that says so.
    pub fn symbols_of(&self, shapes: &[&[u64]], known: impl Fn(&str) -> Option<u32>) -> Result<Vec<u32>, String> {
        let mut values: Vec<Option<i64>> = self.symbols.values().map(|symbol| known(&symbol.name).map(i64::from)).collect();
        for (port, shape) in self.inputs.iter().zip(shapes) {
            if port.shape.len() != shape.len() {
                return Err(format!("`{}` has {} dimensions, and was given {shape:?}", port.name, port.shape.len()));
            }
            for (size, &given) in port.shape.iter().zip(*shape) {
                let given = i64::try_from(given).map_err(|_| format!("`{}` has an axis of {given} elements", port.name))?;
                self.bind(*size, given, &mut values)
                    .map_err(|wanted| format!("`{}` takes {wanted}, and was given {shape:?}", port.name))?;
            }
        }
        let mut symbols: Vec<u32> = Vec::new();
        for (symbol, value) in self.symbols.values().zip(values) {
            let before = |id: crate::loops::SymbolId| symbols.get(id.index()).map(|&value| i64::from(value));
            let worked_out = symbol.formula.as_ref().map(|formula| formula.value(before));
            let value = match (worked_out, value) {
                (Some(None), _) => return Err(format!("`{}` is too large", symbol.name)),
                (Some(Some(value)), Some(given)) if value != given => {
                    return Err(format!("`{}` is {value} for inputs of these sizes, and was given as {given}", symbol.name));
                }
                (Some(Some(value)), _) => value,
                (None, value) => value.unwrap_or(i64::from(symbol.min)),
            };
            let fits = u32::try_from(value).ok().filter(|value| (symbol.min..=symbol.max).contains(value));
            symbols.push(fits.ok_or_else(|| format!("`{}` is {value}, outside {}..={}", symbol.name, symbol.min, symbol.max))?);
        }
        Ok(symbols)
    }

    /// Notes what a size of an input says of symbols; the error is the size that is wanted.
    fn bind(&self, size: Size, given: i64, values: &mut [Option<i64>]) -> Result<(), String> {
        let symbol = match size {
            Size::Const(wanted) if i64::try_from(wanted) == Ok(given) => return Ok(()),
            Size::Const(wanted) => return Err(format!("a size of {wanted}")),
            Size::Symbol(symbol) => symbol,
        };
        let named = &self.symbols[symbol];
        let (symbol, value) = match &named.formula {
            None => (symbol, given),
            // One of several is compared, once all are known.
            Some(formula) if formula.terms.iter().map(|term| term.factors.len()).sum::<usize>() != 1 || formula.divisor != 1 => {
                (symbol, given)
            }
            Some(formula) => formula.solve(given).ok_or_else(|| format!("a size `{}`", named.name))?,
        };
        match values[symbol.index()].replace(value) {
            Some(before) if before != value => Err(format!("`{}` = {before}", self.symbols[symbol].name)),
            _ => Ok(()),
        }
    }

    /// Checks what a caller passes to a run, and gives the bytes of each output at these symbols.
    pub fn check_arguments(&self, weights: usize, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<usize>, String> {
        if weights as u64 != self.weights_bytes {
            return Err(format!("the weights have {weights} bytes, the plan asks for {}", self.weights_bytes));
        }
        if symbols.len() != self.symbols.len() {
            return Err(format!("{} symbols are given, the plan has {}", symbols.len(), self.symbols.len()));
        }
        for (symbol, &value) in self.symbols.values().zip(symbols) {
            if value < symbol.min || value > symbol.max {
                return Err(format!("`{}` is {value}, outside {}..={}", symbol.name, symbol.min, symbol.max));
            }
            let formula = symbol.formula.as_ref();
            let meant = formula.map(|formula| formula.value(|id| symbols.get(id.index()).map(|&value| i64::from(value))));
            if meant.is_some_and(|meant| meant != Some(i64::from(value))) {
                return Err(format!("`{}` is given as {value}, which is not what the other sizes make it", symbol.name));
            }
        }
        if inputs.len() != self.inputs.len() {
            return Err(format!("{} inputs are given, the plan has {}", inputs.len(), self.inputs.len()));
        }
        for (port, bytes) in self.inputs.iter().zip(inputs) {
            let expected = self.port_bytes(port, symbols);
            if bytes.len() != expected {
                return Err(format!("input `{}` has {} bytes, its shape takes {expected}", port.name, bytes.len()));
            }
        }
        Ok(self.outputs.iter().map(|port| self.port_bytes(port, symbols)).collect())
    }

    /// The shape of a port's tensor at these symbols.
    pub fn port_shape(&self, port: &Port, symbols: &[u32]) -> Vec<u64> {
        let size = |size: &Size| match size {
            Size::Const(n) => *n,
            Size::Symbol(symbol) => symbols.get(symbol.index()).map_or(0, |&n| n.into()),
        };
        port.shape.iter().map(size).collect()
    }

    /// Bytes of a port's tensor at these symbols.
    pub fn port_bytes(&self, port: &Port, symbols: &[u32]) -> usize {
        self.port_shape(port, symbols).iter().product::<u64>() as usize * self.buffers[port.buffer].dtype.size()
    }
}
