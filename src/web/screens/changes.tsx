export function ChangesScreen() {
  return <h1>Changes</h1>;
}
