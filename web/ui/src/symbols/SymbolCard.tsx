import { memo } from 'react'
import { Link } from 'wouter'
import { price, words } from '../kit/figures'
import { Badge, Button, Notice, type Tone } from '../kit/kit'
import { Ago } from '../kit/times'
import { alreadyRefreshing, forget, refresh, remove, useTrouble } from './actions'
import type { Card } from './feed'
import { Sparkline } from './Sparkline'

const DIRECTIONS = { BULLISH: ['good', '▲'], BEARISH: ['bad', '▼'], NEUTRAL: ['plain', '◆'] } as const
const STATUSES: Partial<Record<Card['status'], Tone>> = { ONBOARDING: 'info', SUSPECT: 'warn', RETIRED: 'warn' }

export const symbolPath = (ticker: string) => `/symbols/${encodeURIComponent(ticker)}`

export function DirectionBadge({ direction }: Pick<Card, 'direction'>) {
  const [tone, sign] = DIRECTIONS[direction]
  return (
    <span className={`badge ${tone} direction ${direction.toLowerCase()}`}>
      <span aria-hidden>{sign}</span> {words(direction)}
    </span>
  )
}

/** Of one that is not simply active. */
export function StatusBadge({ status }: Pick<Card, 'status'>) {
  const tone = STATUSES[status]
  return tone ? <Badge tone={tone}>{words(status)}</Badge> : null
}

/** What the viewer should know before trusting the numbers: that they are old, or that the provider had none. */
export function FreshnessWarning({ symbol }: { symbol: Card }) {
  const isEmpty = symbol.stalenessReason === 'PROVIDER_EMPTY'
  if (!symbol.stalenessMessage && !isEmpty) return null
  const why = symbol.isStale ? REASONS[symbol.stalenessReason] : undefined
  return (
    <p className="warning" role="status">
      <span aria-hidden>⚠ </span>
      {symbol.stalenessMessage ?? 'Refreshed, but the provider had no newer days'}
      {why && <span> ({why})</span>}
    </p>
  )
}

const REASONS: Partial<Record<Card['stalenessReason'], string>> = {
  MARKET_CLOSED: 'the market has been closed since',
  PROVIDER_RATE_LIMITED: 'the provider refuses more calls',
  PROVIDER_EMPTY: 'the provider has nothing newer',
  PROVIDER_DOWN: 'the provider does not answer',
  CLOCK_SKEW: 'refreshed in the future: a clock is wrong',
}

export function RefreshButton({ symbol }: { symbol: Card }) {
  const { ticker, refresh: running, status } = symbol
  const blocked = running ? alreadyRefreshing(running) : status === 'ONBOARDING' ? `${ticker} is being onboarded.` : undefined
  return (
    <Button blocked={blocked} onClick={() => void refresh(symbol)} aria-label={`Refresh ${ticker}`}>
      {running ? 'Refreshing…' : 'Refresh'}
    </Button>
  )
}

export function TroubleNotice({ ticker }: { ticker: string }) {
  const trouble = useTrouble(ticker)
  if (!trouble) return null
  const dismiss = <Button onClick={() => forget(ticker)}>{trouble.again ? 'Leave it' : 'Dismiss'}</Button>
  const again = trouble.again && <Button onClick={trouble.again.run}>{trouble.again.label}</Button>
  return (
    <Notice
      tone="warn"
      role="alert"
      actions={[again && <span key="again">{again}</span>, <span key="dismiss">{dismiss}</span>]}
    >
      {trouble.text}
    </Notice>
  )
}

export const SymbolCard = memo(function SymbolCard({ symbol }: { symbol: Card }) {
  const { ticker, name, assetClass, status, exchange, lastUpdated, levelCount, lastPrice, currency } = symbol
  return (
    <li className={`symbol ${symbol.isStale ? 'stale' : 'fresh'}`} data-ticker={ticker}>
      <h2 className="who">
        <Link href={symbolPath(ticker)}>{ticker}</Link>
        <span className="name">{name}</span>
      </h2>
      <div className="badges">
        <DirectionBadge direction={symbol.direction} />
        <Badge>{words(assetClass)}</Badge>
        <StatusBadge status={status} />
      </div>
      <p className="price">{price(lastPrice, currency)}</p>
      <Sparkline ticker={ticker} asOf={symbol.asOf} />
      <p className="facts-line">
        <span>
          {lastUpdated ? (
            <>
              Last updated: <Ago at={lastUpdated} exchange={exchange} />
            </>
          ) : (
            'Never updated'
          )}
        </span>
        <span>{levelCount} levels</span>
      </p>
      <FreshnessWarning symbol={symbol} />
      <TroubleNotice ticker={ticker} />
      <div className="actions">
        <RefreshButton symbol={symbol} />
        <Button kind="quiet" onClick={() => void remove(symbol)} aria-label={`Remove ${ticker}`}>
          Remove
        </Button>
      </div>
    </li>
  )
})
