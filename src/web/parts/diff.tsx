interface Line {
  readonly sign: ' ' | '+' | '-';
  readonly text: string;
}

/** Lines around a change that are shown with it. */
const AROUND = 2;
/** Beyond so many pairs of lines all of them count as changed. */
const MOST = 4_000_000;

/** What one text has and the other has not, line by line. */
export function Diff({ before, after, label }: { before: string; after: string; label: string }) {
  const lines = diffOf(before.split('\n'), after.split('\n'));
  const isNear = lines.map((_, index) =>
    lines.slice(Math.max(0, index - AROUND), index + AROUND + 1).some(({ sign }) => sign !== ' '),
  );
  if (!isNear.includes(true)) return <p className="quiet">Not a line differs.</p>;
  return (
    <pre className="diff" tabIndex={0} aria-label={label}>
      {lines.map(({ sign, text }, index) =>
        isNear[index] ? (
          <span key={index} className={sign === '+' ? 'added' : sign === '-' ? 'removed' : undefined}>
            {`${sign} ${text}\n`}
          </span>
        ) : (
          isNear[index - 1] === true && <span key={index}>{'  …\n'}</span>
        ),
      )}
    </pre>
  );
}

/** The longest common subsequence, after what both begin and end with. */
function diffOf(before: readonly string[], after: readonly string[]): readonly Line[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  while (
    end < before.length - start &&
    end < after.length - start &&
    before[before.length - 1 - end] === after[after.length - 1 - end]
  )
    end += 1;
  const [old, now] = [before.slice(start, before.length - end), after.slice(start, after.length - end)];
  const same = (lines: readonly string[]): Line[] => lines.map((text) => ({ sign: ' ', text }));
  return [...same(before.slice(0, start)), ...middleOf(old, now), ...same(before.slice(before.length - end))];
}

function middleOf(old: readonly string[], now: readonly string[]): Line[] {
  const removed = (text: string): Line => ({ sign: '-', text });
  const added = (text: string): Line => ({ sign: '+', text });
  if (old.length * now.length > MOST) return [...old.map(removed), ...now.map(added)];
  const width = now.length + 1;
  const length = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--)
    for (let j = now.length - 1; j >= 0; j--)
      length[i * width + j] =
        old[i] === now[j]
          ? length[(i + 1) * width + j + 1]! + 1
          : Math.max(length[(i + 1) * width + j]!, length[i * width + j + 1]!);
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < old.length && j < now.length) {
    if (old[i] === now[j]) {
      lines.push({ sign: ' ', text: old[i]! });
      i += 1;
      j += 1;
    } else if (length[(i + 1) * width + j]! >= length[i * width + j + 1]!) lines.push(removed(old[i++]!));
    else lines.push(added(now[j++]!));
  }
  return [...lines, ...old.slice(i).map(removed), ...now.slice(j).map(added)];
}
