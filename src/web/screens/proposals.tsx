export function ProposalsScreen({ id }: { id: string | undefined }) {
  return <h1>Proposals {id}</h1>;
}
