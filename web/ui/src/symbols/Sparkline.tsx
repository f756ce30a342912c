import { memo } from 'react'
import { Skeleton } from '../kit/kit'
import { useSpark } from './sparks'

const WIDTH = 120
const HEIGHT = 36

/** The course of the last forty daily closes. */
export const Sparkline = memo(function Sparkline({ ticker, asOf }: { ticker: string; asOf: string | null }) {
  const { ref, closes } = useSpark(ticker, asOf)
  return (
    <div ref={ref} className="spark">
      {closes === null ? <Skeleton height={HEIGHT} /> : closes.length > 1 && <Line closes={closes} />}
    </div>
  )
})

function Line({ closes }: { closes: readonly number[] }) {
  const low = Math.min(...closes)
  const range = Math.max(...closes) - low || 1
  const point = (close: number, index: number) =>
    `${((index / (closes.length - 1)) * WIDTH).toFixed(1)},${(HEIGHT - 2 - ((close - low) / range) * (HEIGHT - 4)).toFixed(1)}`
  const points = closes.map(point).join(' ')
  const change = closes.at(-1)! / closes[0]! - 1
  return (
    <svg
      className={change < 0 ? 'falls' : 'rises'}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`${change < 0 ? 'down' : 'up'} ${Math.abs(change * 100).toFixed(1)} % over ${closes.length} days`}
    >
      <polygon points={`0,${HEIGHT} ${points} ${WIDTH},${HEIGHT}`} />
      <polyline points={points} />
    </svg>
  )
}
