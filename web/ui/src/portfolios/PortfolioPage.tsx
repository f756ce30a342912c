export default function PortfolioPage({ id }: { id: string }) {
  return <h1>{id}</h1>
}
