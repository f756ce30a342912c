export default function SessionPage() {
  return <h1>Session</h1>
}
