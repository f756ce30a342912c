import { type ComponentType, lazy, Suspense, useMemo, useState } from 'react'
import { count, figureOf, many } from '../kit/figures'
import { Skeleton, Table } from '../kit/kit'
import { type Candle, describe, type Gap, gapsBetween, type Line } from './candles'
import type { PlotProps } from './Plot'
import './charts.css'

export type { Candle, Gap, Line } from './candles'

type CandlesProps = {
  /** What it is of, as `AAPL, 5 minutes`. Another label is another chart, seen from its newest bars. */
  label: string
  candles: readonly Candle[]
  lines?: readonly Line[]
  gaps?: readonly Gap[]
  height?: number
  isDaily?: boolean
  /** Where the days of daily bars begin and end; other times are the viewer's. */
  zone?: string
  /** Why no newer bars are shown. */
  withheld?: string | undefined
  /** The viewer has come near to the oldest bar. */
  onBeginning?: () => void
}

const NOTHING: readonly never[] = []
const MOST_ROWS = 500

const Plot = lazy<ComponentType<PlotProps>>(() => import('./Plot').catch(() => ({ default: NoPlot })))

function NoPlot() {
  return (
    <p className="no-plot">The chart could not be loaded. Load the page again to see it; the bars are in the table below.</p>
  )
}

/** Candles over their volume, with levels and gaps; and the same as a sentence and as a table. */
export function Candles(props: CandlesProps) {
  const { label, candles, lines = NOTHING, gaps = NOTHING, height = 420, isDaily = false, zone = 'UTC' } = props
  const [hovered, hover] = useState<number | null>(null)
  const [isTable, showTable] = useState(false)
  const times = useMemo(() => timesOf(isDaily, zone), [isDaily, zone])
  const last = candles.at(-1)
  const figure = figureOf(last?.close ?? 0)
  const shown = hovered === null ? last : candles.find(({ time }) => time === hovered)
  const gap = hovered === null ? undefined : gaps.find(({ start }) => start === hovered)
  const marks = [many(lines.length, 'level'), many(gapsBetween(candles, gaps).length, 'gap')].filter(
    (one) => !one.startsWith('0 '),
  )
  return (
    <figure className={`candles ${props.withheld ? 'withheld' : ''}`}>
      <p className="legend" aria-hidden>
        {gap && <b>{gap.label}</b>}
        {!gap && shown && (
          <>
            <b>{times.full(shown.time)}</b>
            <span>O {figure(shown.open)}</span>
            <span>H {figure(shown.high)}</span>
            <span>L {figure(shown.low)}</span>
            <span className={shown.close < shown.open ? 'fall' : 'rise'}>C {figure(shown.close)}</span>
            {shown.volume > 0 && <span>Vol {count(shown.volume)}</span>}
          </>
        )}
      </p>
      <div className="frame" style={{ height }}>
        <Suspense fallback={<Skeleton height={height} />}>
          <Plot
            key={label}
            text={describe(label, candles, marks, { when: times.full, figure })}
            candles={candles}
            lines={lines}
            gaps={gaps}
            times={times}
            onHover={hover}
            onBeginning={() => props.onBeginning?.()}
          />
        </Suspense>
        {props.withheld && (
          <p className="withheld-note" role="status">
            <b>Withheld.</b> {props.withheld} What is seen ends here.
          </p>
        )}
      </div>
      <figcaption className="soft">
        Charts by <a href="https://www.tradingview.com/">TradingView</a>. TradingView Lightweight Charts™, Copyright ©
        TradingView, Inc.
      </figcaption>
      <details onToggle={({ currentTarget }) => showTable(currentTarget.open)}>
        <summary>The bars as a table</summary>
        {isTable && <BarTable label={label} candles={candles} when={times.full} figure={figure} />}
      </details>
    </figure>
  )
}

type BarTableProps = {
  label: string
  candles: readonly Candle[]
  when: (seconds: number) => string
  figure: (price: number) => string
}

function BarTable({ label, candles, when, figure }: BarTableProps) {
  return (
    <div className="bar-table">
      <Table label={`${label}, newest first`}>
        <thead>
          <tr>
            <th scope="col">Opened</th>
            {['Open', 'High', 'Low', 'Close', 'Volume'].map((name) => (
              <th key={name} scope="col" className="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {candles
            .slice(-MOST_ROWS)
            .reverse()
            .map(({ time, open, high, low, close, volume }) => (
              <tr key={time}>
                <th scope="row">{when(time)}</th>
                <td className="number">{figure(open)}</td>
                <td className="number">{figure(high)}</td>
                <td className="number">{figure(low)}</td>
                <td className="number">{figure(close)}</td>
                <td className="number">{count(volume)}</td>
              </tr>
            ))}
        </tbody>
      </Table>
    </div>
  )
}

function timesOf(isDaily: boolean, zone: string) {
  const inZone = isDaily ? { timeZone: zone } : {}
  const date = new Intl.DateTimeFormat(undefined, { ...inZone, day: 'numeric', month: 'short' })
  const time = new Intl.DateTimeFormat(undefined, { ...inZone, hour: '2-digit', minute: '2-digit' })
  const full = new Intl.DateTimeFormat(undefined, {
    ...inZone,
    dateStyle: 'medium',
    ...(!isDaily && { timeStyle: 'short' }),
  })
  return {
    isDaily,
    tick: (seconds: number, isDate: boolean) => (isDate || isDaily ? date : time).format(seconds * 1000),
    full: (seconds: number) => full.format(seconds * 1000),
  }
}
