import type { Command, Option } from 'commander';
import { Argument } from 'commander';
import type { CliIo } from './io.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** One command, by the words that lead to it. */
interface Node {
  readonly path: readonly string[];
  readonly commands: readonly Command[];
  readonly options: readonly Option[];
  /** What its first argument can be. */
  readonly choices: readonly string[];
}

/** `stopgap completion SHELL`: a script, made from the commands that there are. */
export function completionVerb(program: Command, io: CliIo): void {
  program
    .command('completion')
    .description('print a script that completes commands and options: source <(stopgap completion bash)')
    .addArgument(new Argument('<shell>', 'whose script').choices(SHELLS))
    .action((shell: (typeof SHELLS)[number]) => {
      io.stdout.write(SCRIPTS[shell](nodesOf(program)));
    });
}

function nodesOf(command: Command, path: readonly string[] = []): readonly Node[] {
  const commands = command.commands.filter((one) => one.name() !== 'help');
  const own = {
    path,
    commands,
    options: command.options.filter((option) => !option.hidden),
    choices: command.registeredArguments[0]?.argChoices ?? [],
  };
  return [own, ...commands.flatMap((one) => nodesOf(one, [...path, one.name()]))];
}

/** In single quotes of a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

const key = (path: readonly string[]): string => ['stopgap', ...path].join(' ');
const wordsOf = ({ commands, options, choices }: Node): readonly string[] => [
  ...commands.map((command) => command.name()),
  ...choices,
  ...options.flatMap(({ short, long }) => [short, long]).filter((name) => name !== undefined),
  '--help',
];

/** For bash and zsh: finds the command that the words before lead to, and what can follow. */
function casesOf(nodes: readonly Node[]): {
  readonly paths: string;
  readonly words: string;
  readonly values: string;
} {
  const below = nodes.filter(({ path }) => path.length > 0);
  const values = nodes.flatMap(({ path, options }) =>
    options.flatMap(({ long, argChoices, required, optional }) => {
      if (!required && !optional) return [];
      return [
        `    ${quoted(`${key(path)} ${long}`)}) found=${quoted((argChoices ?? []).join(' '))}; files=1 ;;`,
      ];
    }),
  );
  return {
    paths: below.map(({ path }) => quoted(key(path))).join('|'),
    words: nodes
      .map((node) => `    ${quoted(key(node.path))}) found=${quoted(wordsOf(node).join(' '))} ;;`)
      .join('\n'),
    values: values.join('\n'),
  };
}

/** The body that bash and zsh share: `before` are the words before the cursor, without the first. */
function body(nodes: readonly Node[]): string {
  const { paths, words, values } = casesOf(nodes);
  return `  local at=stopgap last='' found='' files='' word
  for word in "\${before[@]}"; do
    case "$at $word" in ${paths}) at="$at $word" ;; esac
    last=$word
  done
  case "$at $last" in
${values}
    *) case "$at" in
${words}
    esac ;;
  esac`;
}

const SCRIPTS: Readonly<Record<(typeof SHELLS)[number], (nodes: readonly Node[]) => string>> = {
  bash: (nodes) => `# stopgap: completion for bash
_stopgap() {
  local before=("\${COMP_WORDS[@]:1:COMP_CWORD-1}") now=\${COMP_WORDS[COMP_CWORD]}
${body(nodes)}
  COMPREPLY=($(compgen -W "$found" -- "$now"))
  if [ -n "$files" ] && [ -z "$found" ]; then COMPREPLY=($(compgen -f -- "$now")); fi
}
complete -F _stopgap stopgap
`,
  zsh: (nodes) => `#compdef stopgap
# stopgap: completion for zsh
_stopgap() {
  local -a before
  before=("\${(@)words[2,CURRENT-1]}")
  _stopgap_words() {
${body(nodes)}
    if [[ -n $files && -z $found ]]; then _files; else compadd -- \${=found}; fi
  }
  _stopgap_words
}
compdef _stopgap stopgap
`,
  fish: (nodes) =>
    [
      '# stopgap: completion for fish',
      'function __stopgap_at',
      '    set -l at stopgap',
      '    for word in (commandline -opc)[2..-1]',
      `        contains -- "$at $word" ${nodes
        .filter(({ path }) => path.length > 0)
        .map(({ path }) => quoted(key(path)))
        .join(' ')}; and set at "$at $word"`,
      '    end',
      '    test "$at" = "$argv[1]"',
      'end',
      'complete -c stopgap -f',
      ...nodes.flatMap((node) => {
        const when = `complete -c stopgap -n ${quoted(`__stopgap_at ${quoted(key(node.path))}`)}`;
        return [
          ...node.choices.map((one) => `${when} -a ${quoted(one)}`),
          ...node.commands.map((one) => `${when} -a ${quoted(one.name())} -d ${quoted(one.description())}`),
          ...node.options.flatMap(({ long, description, required, optional, argChoices }) => {
            if (long === undefined) return [];
            const value =
              !required && !optional
                ? ''
                : argChoices === undefined
                  ? ' -r -F'
                  : ` -x -a ${quoted(argChoices.join(' '))}`;
            return [`${when} -l ${quoted(long.slice(2))}${value} -d ${quoted(description)}`];
          }),
        ];
      }),
      '',
    ].join('\n'),
};
