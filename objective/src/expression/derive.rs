//! Exact derivatives with the Euler operator D = p·d/dp.
//!
//! Along p the natural derivative is the logarithmic one: D[log p] = 1 and D[pⁿ] = n·pⁿ, so the pull a = −D f of
//! −log p is the number 1, not p divided by p, and nothing blows up where p is tiny.

use super::{Function, Node, Operator, Variable, evaluate};
use Operator::{Add, Divide, LessEqual, Multiply, Power, Subtract};

fn number(value: f64) -> Node {
    Node::Number(value)
}

fn as_number(node: &Node) -> Option<f64> {
    match node {
        Node::Number(value) => Some(*value),
        _ => None,
    }
}

/// −x.
pub(super) fn negate(x: Node) -> Node {
    match x {
        Node::Number(value) => number(-value),
        Node::Negate(x) => *x,
        Node::Binary(Subtract, x, y) => Node::Binary(Subtract, y, x),
        x => Node::Negate(Box::new(x)),
    }
}

/// x ∘ y with constants folded and neutral elements dropped.
///
/// 0·x counts as 0 whatever x: in a derivative a factor that is identically 0 stays 0.
fn binary(operator: Operator, x: Node, y: Node) -> Node {
    let (left, right) = (as_number(&x), as_number(&y));
    if let (Some(left), Some(right)) = (left, right) {
        return number(evaluate::apply(operator, left, right));
    }
    let left_is = |value: f64| left == Some(value);
    let right_is = |value: f64| right == Some(value);
    match operator {
        Add if left_is(0.0) => y,
        Add | Subtract if right_is(0.0) => x,
        Subtract if left_is(0.0) => negate(y),
        Multiply if left_is(0.0) || right_is(0.0) => number(0.0),
        Divide if left_is(0.0) => number(0.0),
        Multiply if left_is(1.0) => y,
        Multiply if left_is(-1.0) => negate(y),
        Multiply if right_is(-1.0) => negate(x),
        Multiply | Divide | Power if right_is(1.0) => x,
        Power if right_is(0.0) => number(1.0),
        Add => match (x, y) {
            (x, Node::Negate(y)) => binary(Subtract, x, *y),
            (Node::Negate(x), y) => binary(Subtract, y, *x),
            (x, y) => Node::Binary(Add, Box::new(x), Box::new(y)),
        },
        Multiply | Divide => match (x, y) {
            (Node::Negate(x), Node::Negate(y)) => binary(operator, *x, *y),
            (Node::Negate(x), y) => negate(binary(operator, *x, y)),
            (x, Node::Negate(y)) => negate(binary(operator, x, *y)),
            (x, Node::Number(y)) if y < 0.0 => negate(binary(operator, x, number(-y))),
            (x, y) => Node::Binary(operator, Box::new(x), Box::new(y)),
        },
        _ => Node::Binary(operator, Box::new(x), Box::new(y)),
    }
}

fn call(function: Function, arguments: Vec<Node>) -> Node {
    match (function, arguments.as_slice()) {
        (Function::If, [_, then, other]) if then == other => then.clone(),
        (Function::If, [Node::Number(condition), then, other]) => {
            if *condition == 0.0 {
                other.clone()
            } else {
                then.clone()
            }
        }
        (function, all) if all.iter().all(|x| as_number(x).is_some()) => {
            evaluate::constant(function, &arguments).map_or(Node::Call(function, arguments), number)
        }
        _ => Node::Call(function, arguments),
    }
}

/// A tree of equal value with its constants folded.
pub(super) fn simplify(node: &Node) -> Node {
    match node {
        Node::Number(_) | Node::Variable(_) => node.clone(),
        Node::Negate(x) => negate(simplify(x)),
        Node::Binary(operator, x, y) => binary(*operator, simplify(x), simplify(y)),
        Node::Call(function, arguments) => call(*function, arguments.iter().map(simplify).collect()),
    }
}

/// D x = p·dx/dp, simplified. Every variable but p and the loss is a constant, and so is a comparison.
pub(super) fn euler(node: &Node) -> Node {
    match node {
        Node::Variable(Variable::P) => node.clone(),
        Node::Variable(Variable::Loss) => number(-1.0),
        Node::Number(_) | Node::Variable(_) => number(0.0),
        Node::Negate(x) => negate(euler(x)),
        Node::Binary(operator, x, y) => euler_binary(*operator, &simplify(x), &simplify(y)),
        Node::Call(function, arguments) => {
            let arguments: Vec<Node> = arguments.iter().map(simplify).collect();
            euler_call(*function, &arguments)
        }
    }
}

fn euler_binary(operator: Operator, x: &Node, y: &Node) -> Node {
    let (dx, dy) = (euler(x), euler(y));
    let constant = |slope: &Node| *slope == number(0.0);
    match operator {
        Add | Subtract => binary(operator, dx, dy),
        Multiply => binary(Add, binary(Multiply, dx, y.clone()), binary(Multiply, x.clone(), dy)),
        Divide if constant(&dy) => binary(Divide, dx, y.clone()),
        // (x / y)′ = (x′ − (x / y)·y′) / y: one division by y at a time keeps small denominators in range.
        Divide => {
            let ratio = binary(Divide, x.clone(), y.clone());
            binary(Divide, binary(Subtract, dx, binary(Multiply, ratio, dy)), y.clone())
        }
        Power if constant(&dy) && *x == Node::Variable(Variable::P) => {
            binary(Multiply, y.clone(), binary(Power, x.clone(), y.clone()))
        }
        Power if constant(&dy) => {
            let lower = binary(Power, x.clone(), binary(Subtract, y.clone(), number(1.0)));
            binary(Multiply, binary(Multiply, y.clone(), lower), dx)
        }
        Power => {
            let log = call(Function::Log, vec![x.clone()]);
            let exponent = binary(Multiply, dy, log);
            let base = binary(Divide, binary(Multiply, y.clone(), dx), x.clone());
            binary(Multiply, binary(Power, x.clone(), y.clone()), binary(Add, exponent, base))
        }
        _ => number(0.0),
    }
}

fn euler_call(function: Function, arguments: &[Node]) -> Node {
    let whole = || Node::Call(function, arguments.to_vec());
    let x = &arguments[0];
    let choose = |condition: Node, then: Node, other: Node| call(Function::If, vec![condition, then, other]);
    let less_equal = |x: &Node, y: &Node| binary(LessEqual, x.clone(), y.clone());
    match function {
        Function::StopGradient | Function::Mean => number(0.0),
        Function::Log if *x == Node::Variable(Variable::P) => number(1.0),
        Function::Log => binary(Divide, euler(x), x.clone()),
        Function::Exp => binary(Multiply, whole(), euler(x)),
        Function::Sqrt => binary(Divide, euler(x), binary(Multiply, number(2.0), whole())),
        Function::Min => choose(less_equal(x, &arguments[1]), euler(x), euler(&arguments[1])),
        Function::Max => choose(less_equal(&arguments[1], x), euler(x), euler(&arguments[1])),
        Function::Clamp => {
            let raised = Node::Call(Function::Max, vec![x.clone(), arguments[1].clone()]);
            euler_call(Function::Min, &[raised, arguments[2].clone()])
        }
        Function::If => choose(x.clone(), euler(&arguments[1]), euler(&arguments[2])),
        // ((1 − p^α)/α)′·p = −p^α, at α = 0 as well.
        Function::FAlpha => negate(binary(Power, Node::Variable(Variable::P), x.clone())),
    }
}
