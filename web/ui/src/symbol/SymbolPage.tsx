import { Link, Redirect } from 'wouter'
import { useRead } from '../api/read'
import { SymbolOfDocument } from '../gql'
import { Empty, Failure, Skeletons } from '../kit/kit'
import { symbolFeed, useSymbol, useSymbols } from '../symbols/feed'
import { symbolPath } from '../symbols/SymbolCard'
import { Details } from './Details'
import '../symbols/symbols.css'
import './symbol.css'

/** Of any spelling of a ticker, tracked now, earlier, or never. */
export default function SymbolPage({ ticker }: { ticker: string }) {
  const { state, error } = useSymbols()
  const tracked = useSymbol(ticker)
  if (tracked) return <Details symbol={tracked} />
  if (state === 'failed') return <Failed ticker={ticker} error={error ?? ''} retry={symbolFeed.retry} />
  if (state === 'loading') return <Loading ticker={ticker} />
  return <Untracked ticker={ticker} />
}

function Untracked({ ticker }: { ticker: string }) {
  const { data, error, retry } = useRead(SymbolOfDocument, { ticker }, null)
  if (error !== undefined) return <Failed ticker={ticker} error={error} retry={retry} />
  if (!data) return <Loading ticker={ticker} />
  if (!data.symbol) return <Unknown ticker={ticker} />
  if (data.symbol.ticker !== ticker) return <Redirect to={symbolPath(data.symbol.ticker)} replace />
  return <Details symbol={data.symbol} />
}

function Unknown({ ticker }: { ticker: string }) {
  return (
    <>
      <h1>{ticker}</h1>
      <Empty title="This symbol is not tracked">
        <p>It was never added here. Look for it by its ticker or name, and add it, on the page of the symbols.</p>
        <Link href="/" className="button primary">
          To the symbols
        </Link>
      </Empty>
    </>
  )
}

function Loading({ ticker }: { ticker: string }) {
  return (
    <>
      <h1>{ticker}</h1>
      <Skeletons label={`Loading ${ticker}`} className="stack" number={2} height={280} />
    </>
  )
}

function Failed({ ticker, error, retry }: { ticker: string; error: string; retry: () => void }) {
  return (
    <>
      <h1>{ticker}</h1>
      <Failure what={`${ticker} could not be read`} error={error} retry={retry} />
    </>
  )
}
