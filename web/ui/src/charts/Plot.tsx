import { useEffect, useEffectEvent, useRef, useState } from 'react'
import { Button } from '../kit/kit'
import { onColours } from '../kit/theme'
import { CandleChart, type Hearers, type Times } from './CandleChart'
import type { Candle, Gap, Line } from './candles'

export type PlotProps = Hearers & {
  /** What is to be seen, for whoever does not see it. */
  text: string
  candles: readonly Candle[]
  lines: readonly Line[]
  gaps: readonly Gap[]
  times: Times
}

/** One chart, from when it is shown until it is not. */
export default function Plot({ text, candles, lines, gaps, times, onHover, onBeginning }: PlotProps) {
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
  return (
    <>
      <div ref={element} className="plot" role="img" aria-label={text} />
      <div className="reach">
        <Button aria-label="Show fewer bars" title="Show fewer bars" onClick={() => chart?.zoom(0.6)}>
          +
        </Button>
        <Button aria-label="Show more bars" title="Show more bars" onClick={() => chart?.zoom(1 / 0.6)}>
          −
        </Button>
        <Button aria-label="To older bars" title="To older bars" onClick={() => chart?.move(-0.7)}>
          ←
        </Button>
        <Button aria-label="To newer bars" title="To newer bars" onClick={() => chart?.move(0.7)}>
          →
        </Button>
      </div>
    </>
  )
}
