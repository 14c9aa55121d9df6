//! Functions of elements, and reductions.

/// A function of each element.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unary {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` where positive, else `slope * x`.
    LeakyRelu {
        /// The slope.
        slope: f32,
    },
    /// `x` where positive, else `exp(x) - 1`.
    Elu,
    /// `scale * x` where positive, else `scale * alpha * (exp(x) - 1)`, with the two constants of Klambauer et al. 2017.
    Selu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `log(1 + exp(x))`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// The error function.
    Erf,
    /// `exp(x)`.
    Exp,
    /// `exp(x) - 1`, exact near 0.
    Expm1,
    /// Natural logarithm.
    Log,
    /// `log(1 + x)`, exact near 0.
    Log1p,
    /// Square root.
    Sqrt,
    /// `1 / sqrt(x)`.
    Rsqrt,
    /// `x * x`.
    Square,
    /// Absolute value.
    Abs,
    /// `-x`.
    Negate,
    /// `1 / x`.
    Reciprocal,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// The largest whole number that is not larger.
    Floor,
    /// The smallest whole number that is not smaller.
    Ceil,
    /// The nearest whole number; halves go to the even one.
    Round,
    /// -1, 0 or 1.
    Sign,
    /// 1 where it is not a number, else 0.
    IsNan,
}

impl Unary {
    /// Its name in the text of a graph.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Elu => "elu",
            Self::Selu => "selu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softplus => "softplus",
            Self::Softsign => "softsign",
            Self::Erf => "erf",
            Self::Exp => "exp",
            Self::Expm1 => "expm1",
            Self::Log => "log",
            Self::Log1p => "log1p",
            Self::Sqrt => "sqrt",
            Self::Rsqrt => "rsqrt",
            Self::Square => "square",
            Self::Abs => "abs",
            Self::Negate => "negate",
            Self::Reciprocal => "reciprocal",
            Self::Sin => "sin",
            Self::Cos => "cos",
            Self::Floor => "floor",
            Self::Ceil => "ceil",
            Self::Round => "round",
            Self::Sign => "sign",
            Self::IsNan => "is_nan",
        }
    }
}

/// A function of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binary {
    /// Sum.
    Add,
    /// Left minus right.
    Subtract,
    /// Product.
    Multiply,
    /// Left divided by right.
    Divide,
    /// Left to the power of right.
    Power,
    /// The larger.
    Maximum,
    /// The smaller.
    Minimum,
    /// The square of left minus right.
    SquaredDifference,
}

impl Binary {
    /// Its name in the text of a graph.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Multiply => "multiply",
            Self::Divide => "divide",
            Self::Power => "power",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
            Self::SquaredDifference => "squared_difference",
        }
    }
}

/// How two operands are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Left is larger.
    Greater,
    /// Left is not smaller.
    GreaterEqual,
    /// Left is smaller.
    Less,
    /// Left is not larger.
    LessEqual,
    /// Both are the same number.
    Equal,
    /// They are not the same number.
    NotEqual,
}

impl Comparison {
    /// Its name in the text of a graph.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Greater => "greater",
            Self::GreaterEqual => "greater_equal",
            Self::Less => "less",
            Self::LessEqual => "less_equal",
            Self::Equal => "equal",
            Self::NotEqual => "not_equal",
        }
    }
}

/// A reduction over some axes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// What the elements become.
    pub kind: Reduction,
    /// The axes, ascending. The batch is none of them.
    pub axes: Vec<usize>,
    /// Whether these axes stay, with size 1.
    pub keeps_axes: bool,
}

/// What the elements of a reduction become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// Their product.
    Product,
}

impl Reduction {
    /// Its name in the text of a graph.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
            Self::Product => "product",
        }
    }
}
