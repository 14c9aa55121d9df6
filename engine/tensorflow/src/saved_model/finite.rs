//! Checks that a SavedModel's variables are finite. An operation that bounds its result, as a ReLU does, may turn NaN into
//! 0, and then the scores do not show it.

use tensorflow::{DataType, Graph, Operation, Output, Session, SessionRunArgs, Tensor};

use super::Refused;

/// The types of variables that can hold NaN or infinity.
const FLOATS: [DataType; 3] = [DataType::Float, DataType::Double, DataType::Half];

/// Most variables that an error names.
const MOST_TOLD: usize = 10;

/// Operations that check one variable.
pub(super) struct Question {
    variable: String,
    /// Whether the variable has a value. Variables that only training needs may not have been saved.
    has_value: Output,
    /// Whether all its values are finite.
    is_finite: Output,
}

/// Adds the operations to a graph.
pub(super) fn questions(graph: &mut Graph) -> Result<Vec<Question>, Refused> {
    let variables: Vec<Operation> = graph
        .operation_iter()
        .filter(|operation| operation.op_type().is_ok_and(|kind| kind == "VarHandleOp"))
        .filter(|operation| operation.get_attr_type("dtype").is_ok_and(|kind| FLOATS.contains(&kind)))
        .collect();
    let mut adder = Adder { graph, count: 0 };
    let mut questions = Vec::with_capacity(variables.len());
    for operation in variables {
        let (variable, kind) = (operation.name().unwrap_or_default(), operation.get_attr_type("dtype")?);
        let handle = Output { operation, index: 0 };
        let has_value = adder.add("VarIsInitializedOp", &[&handle], &[])?;
        let values = adder.add("ReadVariableOp", &[&handle], &[("dtype", kind)])?;
        let row = adder.integers(&[-1])?;
        let values = adder.add("Reshape", &[&values, &row], &[])?;
        let finite = adder.add("IsFinite", &[&values], &[])?;
        let axis = adder.integers(&[0])?;
        let is_finite = adder.add("All", &[&finite, &axis], &[])?;
        questions.push(Question { variable, has_value, is_finite });
    }
    Ok(questions)
}

/// Checks all variables.
///
/// # Errors
/// Some hold values that are not finite; names them.
pub(super) fn ask(session: &Session, questions: &[Question]) -> Result<(), Refused> {
    let all: Vec<&Question> = questions.iter().collect();
    let have_values = answers(session, &all, |question| &question.has_value)?;
    let filled: Vec<&Question> = all
        .into_iter()
        .zip(have_values)
        .filter_map(|(question, has_value)| has_value.then_some(question))
        .collect();
    let finite = answers(session, &filled, |question| &question.is_finite)?;
    let damaged: Vec<&str> = filled
        .iter()
        .zip(finite)
        .filter_map(|(question, is_finite)| (!is_finite).then_some(question.variable.as_str()))
        .collect();
    if damaged.is_empty() {
        return Ok(());
    }
    let more = if damaged.len() > MOST_TOLD { " and more" } else { "" };
    let shown = damaged.iter().take(MOST_TOLD).copied().collect::<Vec<_>>().join("`, `");
    Err(Refused(format!(
        "the variables `{shown}`{more} have values that are not finite, expected numbers: the folder is damaged, or the \
         training failed"
    )))
}

fn answers(
    session: &Session,
    questions: &[&Question],
    of: fn(&Question) -> &Output,
) -> Result<Vec<bool>, Refused> {
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let mut arguments = SessionRunArgs::new();
    let tokens: Vec<_> = questions
        .iter()
        .map(|question| arguments.request_fetch(&of(question).operation, of(question).index))
        .collect();
    session.run(&mut arguments)?;
    let mut given = Vec::with_capacity(tokens.len());
    for token in tokens {
        let answer: Tensor<bool> = arguments.fetch(token)?;
        given.extend(answer.first());
    }
    Ok(given)
}

/// Adds operations under names of their own.
struct Adder<'a> {
    graph: &'a mut Graph,
    count: usize,
}

impl Adder<'_> {
    fn name(&mut self) -> String {
        self.count += 1;
        format!("are_variables_finite/{}", self.count)
    }

    fn add(&mut self, kind: &str, inputs: &[&Output], types: &[(&str, DataType)]) -> Result<Output, Refused> {
        let name = self.name();
        let mut description = self.graph.new_operation(kind, &name)?;
        for input in inputs {
            description.add_input((*input).clone());
        }
        for (key, value) in types {
            description.set_attr_type(key, *value)?;
        }
        Ok(description.finish()?.into())
    }

    fn integers(&mut self, values: &[i32]) -> Result<Output, Refused> {
        let name = self.name();
        let mut tensor = Tensor::<i32>::new(&[values.len() as u64]);
        tensor.copy_from_slice(values);
        let mut description = self.graph.new_operation("Const", &name)?;
        description.set_attr_type("dtype", DataType::Int32)?;
        description.set_attr_tensor("value", tensor)?;
        Ok(description.finish()?.into())
    }
}
