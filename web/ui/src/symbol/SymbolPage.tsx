export default function SymbolPage({ ticker }: { ticker: string }) {
  return <h1>{ticker}</h1>
}
