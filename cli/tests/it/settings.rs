//! `docs/settings.md` matches the programs' help.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Arg, Args, Command, CommandFactory as _};
use common::config::{FleetConfig, ModelsConfig};
use common::telemetry::LogConfig;

const HEAD: &str = "# Settings

Every setting is an environment variable and a flag; the flag counts first. A value that cannot be honoured ends the program at
its start with exit code 2 and the name of the variable. Times are in seconds, sizes in bytes.

This page is made from the programs' help: `UPDATE_DOCS=1 cargo test --workspace --test it -- settings::` writes it anew.
";

#[test]
fn every_setting_stands_in_the_documentation_as_the_help_tells_it() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/settings.md");
    let expected = render();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&page, &expected).unwrap();
    }
    let found = fs::read_to_string(&page).unwrap();
    assert!(found == expected, "{} is not what the help says: see its head", page.display());
}

fn render() -> String {
    let mut page = HEAD.to_owned();
    section::<FleetConfig>(&mut page, "A fleet", "`classifier-api` and `classifier-worker`.");
    section::<cli::config::QueueConfig>(
        &mut page,
        "One process",
        "`classifier serve`, in place of those of a fleet.",
    );
    section::<ModelsConfig>(&mut page, "Packages", "All programs.");
    section::<LogConfig>(&mut page, "Logs", "All programs.");
    section::<api::config::Config>(&mut page, "API", "`classifier-api` and `classifier serve`.");
    section::<worker::config::Config>(&mut page, "Worker", "`classifier-worker` and `classifier serve`.");
    let pages = worker::config::Program::command();
    let listen = pages.get_arguments().find(|argument| argument.get_long() == Some("worker-listen"));
    page += &row(listen.unwrap()).unwrap();
    section::<cli::config::ServerConfig>(
        &mut page,
        "The command",
        "`classifier`, where it talks to a server.",
    );
    page
}

fn section<T: Args>(page: &mut String, title: &str, programs: &str) {
    writeln!(page, "\n## {title}\n\n{programs}\n").unwrap();
    page.push_str("| variable | flag | default | meaning |\n| --- | --- | --- | --- |\n");
    let command = T::augment_args(Command::new("settings"));
    let rows: Vec<String> = command.get_arguments().filter_map(row).collect();
    assert!(!rows.is_empty(), "{title} has settings");
    page.extend(rows);
}

fn row(argument: &Arg) -> Option<String> {
    let variable = argument.get_env()?.to_str().unwrap();
    let flag = argument.get_long().unwrap();
    let help = argument.get_long_help().or(argument.get_help()).unwrap().to_string();
    let (meaning, default) = parse(&help, variable);
    Some(format!("| `{variable}` | `--{flag}` | {default} | {meaning} |\n"))
}

/// Splits the help into the text outside of its parentheses, and the default inside.
fn parse(help: &str, variable: &str) -> (String, String) {
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let begin =
        help.find(&format!("({variable}")).unwrap_or_else(|| panic!("the help names {variable}: {help}"));
    let end = begin + help[begin..].find(')').unwrap();
    let meaning = format!("{}{}", help[..begin].trim_end(), &help[end + 1..]);
    let said = help[begin + 1 + variable.len()..end].trim_start_matches([',', ';', ' ']);
    let default = said.strip_prefix("default").unwrap_or(said).trim_start_matches([':', ' ']);
    assert!(!default.is_empty(), "the help tells the default of {variable}");
    let stop = if meaning.ends_with('.') { "" } else { "." };
    (meaning + stop, default.to_owned())
}
