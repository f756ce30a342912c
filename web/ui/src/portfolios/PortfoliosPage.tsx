export default function PortfoliosPage() {
  return <h1>Portfolios</h1>
}
