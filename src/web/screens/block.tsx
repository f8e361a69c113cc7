export function BlockScreen({ id }: { id: string }) {
  return <h1>{id}</h1>;
}
