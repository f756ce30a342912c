import { memo } from 'react'
import { Link } from 'wouter'
import { many, price, words } from '../kit/figures'
import { handsOnFocus } from '../kit/focus'
import { Badge, Button, Notice, type Tone } from '../kit/kit'
import { Ago } from '../kit/times'
import { alreadyRefreshing, forget, refresh, remove, useTrouble } from './actions'
import type { Card } from './feed'
import { Sparkline } from './Sparkline'

const DIRECTIONS = { BULLISH: ['good', '▲'], BEARISH: ['bad', '▼'], NEUTRAL: ['plain', '◆'] } as const
const STATUS_REMARKS: Partial<Record<Card['status'], string>> = {
  ONBOARDING: 'Being onboarded: its history is loaded and measured.',
  SUSPECT: 'Suspect: the provider is well, but has had nothing of it for some time.',
}
const REASONS: Partial<Record<Card['stalenessReason'], string>> = {
  MARKET_CLOSED: 'The market has been closed since.',
  PROVIDER_RATE_LIMITED: 'The provider refuses more calls.',
  PROVIDER_EMPTY: 'The provider has nothing newer.',
  PROVIDER_DOWN: 'The provider does not answer.',
  CLOCK_SKEW: 'It was refreshed in the future: a clock is wrong.',
}
const STATUS_TONES: Partial<Record<Card['status'], Tone>> = { ONBOARDING: 'info', SUSPECT: 'warn', RETIRED: 'warn' }

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
  const tone = STATUS_TONES[status]
  return tone ? <Badge tone={tone}>{words(status)}</Badge> : null
}

/** What the viewer should know before trusting the numbers: a warning that they are old; else a remark that the provider had
 * nothing newer to refresh them with. */
export function FreshnessWarning({ symbol }: { symbol: Card }) {
  const { stalenessMessage, stalenessReason, missedSessions } = symbol
  const missed = missedSessions ? `${many(missedSessions, 'trading day')} missed.` : ''
  if (stalenessMessage)
    return (
      <p className="warning" role="status">
        <span aria-hidden>⚠</span> <span>{stalenessMessage}</span> <span>{REASONS[stalenessReason] ?? missed}</span>
      </p>
    )
  if (stalenessReason !== 'PROVIDER_EMPTY') return null
  return (
    <p className="remark">
      {REASONS.PROVIDER_EMPTY} {missed}
    </p>
  )
}

/** What else is out of the ordinary with it. */
function Remarks({ symbol: { status, backfill } }: { symbol: Card }) {
  return (
    <>
      {STATUS_REMARKS[status] && <p className={`remark ${status === 'SUSPECT' ? 'bad' : ''}`}>{STATUS_REMARKS[status]}</p>}
      {backfill.status === 'FAILED' && <p className="remark bad">Its history was not filled. {backfill.error}</p>}
    </>
  )
}

export function RefreshButton({ symbol }: { symbol: Card }) {
  const { ticker, refresh: running, status } = symbol
  const blocked = running ? alreadyRefreshing(running) : status === 'ONBOARDING' ? `${ticker} is being onboarded.` : undefined
  return (
    <Button className="refresh" blocked={blocked} onClick={() => void refresh(symbol)} aria-label={`Refresh ${ticker}`}>
      {running ? 'Refreshing…' : 'Refresh'}
    </Button>
  )
}

export function TroubleNotice({ ticker }: { ticker: string }) {
  const trouble = useTrouble(ticker)
  if (!trouble) return null
  const { text, again } = trouble
  const actions = (
    <>
      {again && <Button onClick={again.run}>{again.label}</Button>}
      <Button onClick={() => forget(ticker)}>{again ? 'Leave it' : 'Dismiss'}</Button>
    </>
  )
  return (
    <Notice tone="warn" role="alert" actions={actions}>
      {text}
    </Notice>
  )
}

export const SymbolCard = memo(function SymbolCard({ symbol }: { symbol: Card }) {
  const { ticker, name, assetClass, exchange, lastUpdated, levelCount, lastPrice, currency } = symbol
  return (
    <li ref={handsOnFocus} className={`symbol ${symbol.isStale ? 'stale' : 'fresh'}`} data-ticker={ticker}>
      <h2 className="who">
        <Link href={symbolPath(ticker)}>{ticker}</Link>
        <span className="name">{name}</span>
      </h2>
      <div className="badges">
        <DirectionBadge direction={symbol.direction} />
        <Badge>{words(assetClass)}</Badge>
      </div>
      <p className="price">{price(lastPrice, currency)}</p>
      <Sparkline ticker={ticker} asOf={symbol.asOf} />
      <p className="facts-line">
        <span>
          <span className="label">Last updated: </span>
          {lastUpdated ? <Ago at={lastUpdated} exchange={exchange} /> : 'never'}
        </span>
        <span>{many(levelCount, 'level')}</span>
      </p>
      <div className="said">
        <FreshnessWarning symbol={symbol} />
        <Remarks symbol={symbol} />
        <TroubleNotice ticker={ticker} />
      </div>
      <div className="actions">
        <RefreshButton symbol={symbol} />
        <Button kind="quiet" onClick={() => void remove(symbol)} aria-label={`Remove ${ticker}`}>
          Remove
        </Button>
      </div>
    </li>
  )
})
