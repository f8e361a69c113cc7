export function ExemptionsScreen() {
  return <h1>Exemptions</h1>;
}
