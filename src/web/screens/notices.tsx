export function NoticesScreen() {
  return <h1>Notices</h1>;
}
