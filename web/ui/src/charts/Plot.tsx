import { useEffect, useEffectEvent, useRef, useState } from 'react'
import { onColours } from '../kit/theme'
import { CandleChart, type Hearers, type Times } from './CandleChart'
import type { Candle, Gap, Line } from './candles'

export type PlotProps = { candles: readonly Candle[]; lines: readonly Line[]; gaps: readonly Gap[]; times: Times } & Hearers

/** One chart, from when it is shown until it is not. */
export default function Plot({ candles, lines, gaps, times, onHover, onBeginning }: PlotProps) {
  const element = useRef<HTMLDivElement>(null)
  const [chart, setChart] = useState<CandleChart | null>(null)
  const hover = useEffectEvent(onHover)
  const beginning = useEffectEvent(onBeginning)
  useEffect(() => {
    const made = new CandleChart(element.current!, times, { onHover: (time) => hover(time), onBeginning: () => beginning() })
    const forget = onColours(() => made.recolour())
    setChart(made)
    return () => {
      forget()
      made.remove()
      setChart(null)
    }
  }, [times])
  useEffect(() => chart?.show(candles, gaps), [chart, candles, gaps])
  useEffect(() => chart?.draw(lines), [chart, lines])
  return <div ref={element} className="plot" />
}
