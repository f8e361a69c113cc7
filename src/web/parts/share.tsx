/** How much of a limit is reached: in words and as a bar. */
export function Share({ share }: { share: number }) {
  const percent = Math.round(share * 100);
  return (
    <div className="share">
      {percent.toLocaleString()} %
      <div className="bar" aria-hidden="true">
        <span className={share >= 1 ? 'over' : undefined} style={{ width: `${Math.min(100, percent)}%` }} />
      </div>
    </div>
  );
}
