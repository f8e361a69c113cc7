import { navigate, useHref } from '../route.js';

/** The parts of a screen, as links: each has its own place in the history. */
export function Parts({
  label,
  current,
  parts,
}: {
  label: string;
  current: string;
  /** By path: what it is called. */
  parts: readonly (readonly [path: string, text: string])[];
}) {
  const href = useHref();
  return (
    <ul className="parts" aria-label={label}>
      {parts.map(([path, text]) => (
        <li key={path}>
          <a href={`#${href(path)}`} aria-current={current === path ? 'true' : undefined}>
            {text}
          </a>
        </li>
      ))}
    </ul>
  );
}

/** Says that a screen does not know the past. */
export function OnlyNow({ what, path }: { what: string; path: string }) {
  return (
    <p className="only-now">
      {what} of the past are not kept: these are those of now.{' '}
      <button type="button" onClick={() => navigate(path)}>
        Go to now
      </button>
    </p>
  );
}
