export function SenderScreen({ type, value }: { type: string; value: string }) {
  return (
    <h1>
      {type} {value}
    </h1>
  );
}
