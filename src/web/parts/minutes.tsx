const WIDTH = 4;
const HEIGHT = 40;

/** Numbers of the last minutes as bars, with a sentence in their place for who does not see them. */
export function Minutes({ counts, what }: { counts: readonly number[]; what: string }) {
  const most = Math.max(...counts, 1);
  const sum = counts.reduce((a, b) => a + b, 0);
  const text =
    sum === 0
      ? `No ${what} in the last hour.`
      : `${sum.toLocaleString()} ${what} in the last hour, at most ${most.toLocaleString()} in a minute.`;
  return (
    <svg
      className="minutes"
      role="img"
      aria-label={text}
      viewBox={`0 0 ${counts.length * WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
    >
      <line x1="0" x2={counts.length * WIDTH} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
      {counts.map((count, index) => {
        const height = count === 0 ? 0 : Math.max(2, (count / most) * (HEIGHT - 1));
        // A bar is a minute: it has no other identity.
        return <rect key={index} x={index * WIDTH} width={WIDTH - 1} y={HEIGHT - height} height={height} />;
      })}
    </svg>
  );
}
