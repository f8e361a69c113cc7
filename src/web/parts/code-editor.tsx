import { useId, useRef } from 'react';

export interface LineFault {
  readonly line: number | null;
  readonly path: string;
  readonly message: string;
}

/** A text with the numbers of its lines, and what is wrong in which. Tab leaves it, as it leaves any field. */
export function CodeEditor({
  label,
  value,
  change,
  faults,
}: {
  label: string;
  value: string;
  /** Undefined: it can only be read. */
  change?: ((value: string) => void) | undefined;
  faults: readonly LineFault[];
}) {
  const id = useId();
  const text = useRef<HTMLTextAreaElement>(null);
  const numbers = useRef<HTMLPreElement>(null);
  const faulty = new Set(faults.map(({ line }) => line));
  const count = value.split('\n').length;
  const goTo = (line: number): void => {
    const area = text.current!;
    const starts = value.split('\n').slice(0, line - 1);
    const start = starts.reduce((sum, one) => sum + one.length + 1, 0);
    const next = value.indexOf('\n', start);
    area.focus();
    area.setSelectionRange(start, next < 0 ? value.length : next);
    area.scrollTop = (area.scrollHeight / count) * Math.max(0, line - 4);
  };
  return (
    <>
      <label htmlFor={id}>{label}</label>
      <div className="editor">
        <pre ref={numbers} aria-hidden="true">
          {Array.from({ length: count }, (_, index) => (
            <span key={index} className={faulty.has(index + 1) ? 'faulty' : undefined}>
              {`${faulty.has(index + 1) ? '▸' : ' '}${index + 1}\n`}
            </span>
          ))}
        </pre>
        <textarea
          ref={text}
          id={id}
          value={value}
          readOnly={change === undefined}
          wrap="off"
          spellCheck={false}
          autoComplete="off"
          autoCapitalize="off"
          aria-invalid={faults.length > 0}
          aria-describedby={faults.length > 0 ? `${id}-faults` : undefined}
          onChange={(event) => change?.(event.target.value)}
          onScroll={(event) => {
            numbers.current!.scrollTop = event.currentTarget.scrollTop;
          }}
        />
      </div>
      {faults.length > 0 && (
        <ul id={`${id}-faults`} className="plain faults" aria-label="What is wrong">
          {faults.map(({ line, path, message }, index) => (
            <li key={index}>
              {line === null ? (
                `${path}: ${message}`
              ) : (
                <button type="button" className="link" onClick={() => goTo(line)}>
                  Line {line}: {path} {message}
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
