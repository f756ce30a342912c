// Bands from top to bottom of the chart where bars are missing, each in the place that its first missing bar would have.
import type { ISeriesPrimitive, SeriesAttachedParameter, Time, UTCTimestamp } from 'lightweight-charts'
import type { Gap } from './candles'
import { colour } from './colours'

type Target = Parameters<NonNullable<ReturnType<View['renderer']>>['draw']>[0]
type View = NonNullable<ReturnType<NonNullable<ISeriesPrimitive<Time>['paneViews']>>>[number]

const NARROWEST = 4

export class Bands implements ISeriesPrimitive<Time> {
  #chart: SeriesAttachedParameter<Time> | undefined
  #gaps: readonly Gap[] = []
  readonly #views: readonly View[] = [{ zOrder: () => 'bottom', renderer: () => ({ draw: (target) => this.#draw(target) }) }]

  attached(chart: SeriesAttachedParameter<Time>) {
    this.#chart = chart
  }

  paneViews = () => this.#views

  show(gaps: readonly Gap[]) {
    this.#gaps = gaps
    this.#chart?.requestUpdate()
  }

  #draw(target: Target) {
    const scale = this.#chart!.chart.timeScale()
    const width = Math.max(scale.options().barSpacing, NARROWEST)
    const fill = colour('--warn-line', 0.3)
    // biome-ignore lint/correctness/useHookAtTopLevel: no hook, the library calls it so
    target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio }) => {
      context.fillStyle = fill
      for (const { start } of this.#gaps) {
        const middle = scale.timeToCoordinate(start as UTCTimestamp)
        if (middle === null) continue
        context.fillRect((middle - width / 2) * horizontalPixelRatio, 0, width * horizontalPixelRatio, bitmapSize.height)
      }
    })
  }
}
