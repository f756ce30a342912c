// What is drawn beside the candles: the levels, and the places where bars are missing.
import type {
  ISeriesPrimitive,
  ISeriesPrimitiveAxisView,
  SeriesAttachedParameter,
  Time,
  UTCTimestamp,
} from 'lightweight-charts'
import type { Gap, Line } from './candles'
import { colour } from './colours'

type View = NonNullable<ReturnType<NonNullable<ISeriesPrimitive<Time>['paneViews']>>>[number]
type Target = Parameters<NonNullable<ReturnType<View['renderer']>>['draw']>[0]
type Space = Parameters<Parameters<Target['useBitmapCoordinateSpace']>[0]>[0]

const TONES = { good: '--rise', bad: '--fall', plain: '--line-strong' } as const
const NARROWEST = 4

/** Draws behind the candles whatever `paint` does, whenever the chart is drawn. */
abstract class Mark implements ISeriesPrimitive<Time> {
  protected on: SeriesAttachedParameter<Time> | undefined
  readonly #views: readonly View[] = [{ zOrder: () => 'bottom', renderer: () => ({ draw: (target) => this.#draw(target) }) }]

  attached(on: SeriesAttachedParameter<Time>) {
    this.on = on
  }

  paneViews = () => this.#views

  protected abstract paint(space: Space): void

  #draw(target: Target) {
    // biome-ignore lint/correctness/useHookAtTopLevel: no hook, the library calls it so
    target.useBitmapCoordinateSpace((space) => this.paint(space))
  }
}

/** A band from top to bottom for each gap, in the place that its first missing bar would have. */
export class GapBands extends Mark {
  #gaps: readonly Gap[] = []

  show(gaps: readonly Gap[]) {
    this.#gaps = gaps
    this.on?.requestUpdate()
  }

  protected paint({ context, bitmapSize, horizontalPixelRatio: ratio }: Space) {
    const scale = this.on!.chart.timeScale()
    const width = Math.max(scale.options().barSpacing, NARROWEST)
    context.fillStyle = colour('--warn-line', 0.3)
    for (const { start } of this.#gaps) {
      const middle = scale.timeToCoordinate(start as UTCTimestamp)
      if (middle !== null) context.fillRect((middle - width / 2) * ratio, 0, width * ratio, bitmapSize.height)
    }
  }
}

/** A dashed line for each level, shaded up to its upper edge where it is a zone; its price stands on the axis. */
export class LevelLines extends Mark {
  #lines: readonly Line[] = []
  #labels: readonly ISeriesPrimitiveAxisView[] = []

  get lines() {
    return this.#lines
  }

  show(lines: readonly Line[]) {
    this.#lines = lines
    this.#labels = lines.map((line) => this.#label(line))
    this.on?.requestUpdate()
  }

  priceAxisViews = () => this.#labels

  protected paint({ context, bitmapSize, verticalPixelRatio: ratio }: Space) {
    const y = (price: number) => Math.round((this.on!.series.priceToCoordinate(price) ?? Number.NaN) * ratio)
    context.setLineDash([5 * ratio, 4 * ratio])
    context.lineWidth = Math.max(1, Math.floor(ratio))
    for (const { price, upper, tone } of this.#lines) {
      const at = y(price)
      if (upper !== undefined) {
        context.fillStyle = colour(TONES[tone], 0.12)
        context.fillRect(0, y(upper), bitmapSize.width, at - y(upper))
      }
      context.strokeStyle = colour(TONES[tone])
      context.beginPath()
      context.moveTo(0, at + 0.5)
      context.lineTo(bitmapSize.width, at + 0.5)
      context.stroke()
    }
  }

  #label({ price, label, tone }: Line): ISeriesPrimitiveAxisView {
    const y = () => this.on?.series.priceToCoordinate(price) ?? -1
    return {
      coordinate: y,
      text: () => `${label} ${this.on?.series.priceFormatter().format(price)}`,
      textColor: () => colour(TONES[tone]),
      backColor: () => colour('--surface'),
      // The library would hold one that is out of sight at the edge, as if it were there.
      visible: () => y() >= 0 && y() <= (this.on?.chart.paneSize().height ?? 0),
    }
  }
}
