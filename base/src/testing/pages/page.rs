//! What stands in a page.

/// Why a block may be left out. Whoever needs another reason adds it here.
const REASONS: [&str; 11] = [
    "a cluster",
    "a data set",
    "a GPU",
    "a service",
    "another folder",
    "changes what is kept",
    "compiling",
    "hours",
    "the network",
    "the reader's files",
    "until Ctrl-C",
];
/// What a command in the text begins with.
const COMMANDS: [&str; 6] = ["just", "paper", "tokensieve", "cargo", "python3", "sbatch"];

#[derive(Debug)]
pub(super) struct Page {
    name: String,
    pub(super) blocks: Vec<Block>,
    /// Commands in the text, with their lines' numbers.
    spans: Vec<(usize, String)>,
    /// Lines of blocks that are indented and not fenced, which nothing reads.
    indented: Vec<usize>,
}

/// A fenced block, and what the comments above it say.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) line: usize,
    pub(super) language: String,
    pub(super) text: String,
    /// Why it is not run.
    pub(super) not_run: Option<String>,
    /// Relative difference that measured numbers may have.
    pub(super) tolerance: f64,
    /// Files to copy beforehand: name and path.
    pub(super) files: Vec<(String, String)>,
}

impl Page {
    pub(super) fn new(name: String, text: &str) -> Self {
        let mut page = Self { name, blocks: Vec::new(), spans: Vec::new(), indented: Vec::new() };
        let (mut next, mut fence) = (Block::default(), None::<String>);
        let mut paragraph = (0, String::new());
        for (index, line) in text.lines().enumerate() {
            let trimmed = line.trim_start();
            let indent = &line[..line.len() - trimmed.len()];
            if let Some(indent) = &fence {
                if trimmed == "```" {
                    fence = None;
                    page.blocks.push(std::mem::take(&mut next));
                } else {
                    next.text += line.strip_prefix(indent.as_str()).unwrap_or(line);
                    next.text += "\n";
                }
                continue;
            }
            if let Some(language) = trimmed.strip_prefix("```") {
                (next.line, next.language) = (index + 1, language.to_owned());
                fence = Some(indent.to_owned());
            } else if let Some(comment) =
                trimmed.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"))
            {
                next.heed(comment);
            } else if !trimmed.is_empty() {
                // A comment speaks of the block right below it.
                (next.not_run, next.tolerance) = (None, 0.0);
                if indent.len() >= 4 && is_command(trimmed) {
                    page.indented.push(index + 1);
                }
                if paragraph.1.is_empty() {
                    paragraph.0 = index + 1;
                }
                paragraph.1 += line;
                paragraph.1 += "\n";
                continue;
            }
            page.end_paragraph(&mut paragraph);
        }
        page.end_paragraph(&mut paragraph);
        page
    }

    /// Keeps the commands among what stands in backticks.
    fn end_paragraph(&mut self, paragraph: &mut (usize, String)) {
        let (mut line, text) = std::mem::take(paragraph);
        for (place, piece) in text.split('`').enumerate() {
            // The log tells what was typed then.
            if place % 2 == 1 && is_command(piece) && self.name != "docs/LOG.md" {
                self.spans.push((line, piece.replace('\n', " ")));
            }
            line += piece.matches('\n').count();
        }
    }

    /// Every command line, run or not, with its number.
    pub(super) fn command_lines(&self) -> Vec<(usize, String)> {
        self.spans.iter().cloned().chain(self.blocks.iter().flat_map(Block::command_lines)).collect()
    }

    /// Marks and commands that no test understands.
    pub(super) fn misread(&self) -> Vec<String> {
        let reasons = self.blocks.iter().flat_map(|block| {
            let given = block.not_run.iter().flat_map(|reasons| reasons.split(", "));
            let unknown = given.filter(|reason| !REASONS.contains(reason));
            unknown
                .map(|reason| self.place(block.line, &format!("`{reason}` is no reason not to run a block")))
        });
        let indented = self
            .indented
            .iter()
            .map(|line| self.place(*line, "no test reads an indented command: put it into a fenced block"));
        reasons.chain(indented).collect()
    }

    pub(super) fn place(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.name)
    }
}

/// Whether a text is a program with arguments.
fn is_command(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default().trim_start_matches("./");
    words.next().is_some() && (COMMANDS.contains(&first) || first.starts_with("scripts/"))
}

impl Block {
    fn heed(&mut self, comment: &str) {
        if let Some(reasons) = comment.strip_prefix("not run: ") {
            self.not_run = Some(reasons.to_owned());
        } else if let Some(percent) = comment.strip_prefix("numbers within ") {
            self.tolerance = percent.trim_end_matches('%').parse::<f64>().expect("per cent") / 100.0;
        } else if let Some(file) = comment.strip_prefix("file: ") {
            let (name, path) = file.split_once(" = ").expect("NAME = PATH");
            self.files.push((name.to_owned(), path.to_owned()));
        }
    }

    pub(super) fn is_commands(&self) -> bool {
        ["console", "sh"].contains(&self.language.as_str())
    }

    /// What is run, each with the output that is shown.
    pub(super) fn commands(&self) -> Vec<(String, Vec<&str>)> {
        if self.language == "sh" {
            return vec![(self.text.clone(), Vec::new())];
        }
        let mut commands: Vec<(String, Vec<&str>)> = Vec::new();
        let mut continued = false;
        for line in self.text.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                commands.push((command.to_owned(), Vec::new()));
                continued = command.ends_with('\\');
            } else if let Some((command, shown)) = commands.last_mut() {
                if continued {
                    command.push('\n');
                    *command += line;
                    continued = line.ends_with('\\');
                } else {
                    shown.push(line);
                }
            }
        }
        commands
    }

    /// Its command lines, each in one piece, with their numbers; none of a block in another language.
    pub(super) fn command_lines(&self) -> Vec<(usize, String)> {
        let mut lines = Vec::<(usize, String)>::new();
        let mut continued = false;
        for (line, number) in self.text.lines().filter(|_| self.is_commands()).zip(self.line + 1..) {
            let command = if self.language == "sh" { Some(line) } else { line.strip_prefix("$ ") };
            match (lines.last_mut(), command) {
                (Some((_, before)), _) if continued => *before += line.trim_end_matches('\\'),
                (_, Some(command)) => lines.push((number, command.trim_end_matches('\\').to_owned())),
                _ => continue,
            }
            continued = line.ends_with('\\');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn blocks_comments_and_commands_in_the_text_are_read() {
        let text = "<!-- not run: hours, no reason -->\n```console\n$ a \\\n  b\nc\n$ e\n```\ntext `paper\nlist` `a b`\n\
                    ```console\n$ d\n```\n\n    ./just x y\n";
        let page = Page::new("p.md".to_owned(), text);
        let [first, second] = &page.blocks[..] else { panic!("{page:?}") };
        assert!(first.not_run.is_some() && second.not_run.is_none() && second.line == 10);
        assert_eq!(first.commands(), [("a \\\n  b".to_owned(), vec!["c"]), ("e".to_owned(), vec![])]);
        assert_eq!(page.spans, [(8, "paper list".to_owned())]);
        let lines = page.command_lines();
        let numbers: Vec<usize> = lines.iter().map(|(number, _)| *number).collect();
        assert_eq!((numbers, lines[1].1.as_str()), (vec![8, 3, 6, 11], "a   b"));
        assert_eq!(
            page.misread(),
            [
                "p.md:2: `no reason` is no reason not to run a block",
                "p.md:14: no test reads an indented command: put it into a fenced block",
            ]
        );
    }
}
