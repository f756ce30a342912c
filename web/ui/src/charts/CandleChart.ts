// The chart itself, by TradingView's library. Loaded when the first one is shown.
import {
  type AutoscaleInfo,
  CandlestickSeries,
  ColorType,
  CrosshairMode,
  createChart,
  HistogramSeries,
  type IChartApi,
  type IPriceLine,
  type ISeriesApi,
  LineStyle,
  TickMarkType,
  type UTCTimestamp,
} from 'lightweight-charts'
import { digitsOf } from '../kit/figures'
import { Bands } from './bands'
import { type Candle, continuesAt, type Gap, gapsBetween, type Line, withinReach } from './candles'
import { colour } from './colours'

const TONES = { good: '--rise', bad: '--fall', plain: '--line-strong' } as const
const FIRST_BAR_WIDTH = 7
const ROOM_RIGHT = 4
/** So near to the oldest bar, older ones are wanted. */
const NEAR = 12

export type Hearers = { onHover: (time: number | null) => void; onBeginning: () => void }
export type Times = { tick: (seconds: number, isDate: boolean) => string; full: (seconds: number) => string }

export class CandleChart {
  readonly #chart: IChartApi
  readonly #series: ISeriesApi<'Candlestick'>
  readonly #volumes: ISeriesApi<'Histogram'>
  readonly #bands = new Bands()
  #candles: readonly Candle[] = []
  #gaps: readonly Gap[] = []
  #lines: readonly Line[] = []
  #drawn: IPriceLine[] = []

  constructor(element: HTMLElement, times: Times, hear: Hearers) {
    this.#chart = createChart(element, {
      autoSize: true,
      // The logo would put a style sheet into the page, which its policy refuses; the attribution stands below the chart.
      layout: { attributionLogo: false, fontFamily: getComputedStyle(element).fontFamily },
      crosshair: { mode: CrosshairMode.Normal },
      localization: { timeFormatter: (time: UTCTimestamp) => times.full(time) },
      timeScale: {
        rightOffset: ROOM_RIGHT,
        tickMarkFormatter: (time: UTCTimestamp, type: TickMarkType) => times.tick(time, type < TickMarkType.Time),
      },
    })
    this.#series = this.#chart.addSeries(CandlestickSeries, {
      autoscaleInfoProvider: (base: () => AutoscaleInfo | null) => this.#withLevels(base()),
    })
    this.#volumes = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: '',
      priceFormat: { type: 'volume' },
      lastValueVisible: false,
      priceLineVisible: false,
    })
    this.#series.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.26 } })
    this.#volumes.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } })
    this.#series.attachPrimitive(this.#bands)
    this.#chart.subscribeCrosshairMove(({ time }) => hear.onHover(typeof time === 'number' ? time : null))
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && this.#candles.length && range.from < NEAR) hear.onBeginning()
    })
    this.recolour()
  }

  show(candles: readonly Candle[], gaps: readonly Gap[]) {
    const before = this.#candles
    const shown = gapsBetween(candles, gaps)
    const from = isSameGaps(shown, this.#gaps) ? continuesAt(before, candles) : null
    this.#candles = candles
    this.#gaps = shown
    if (from === null) this.#setAll(before.length === 0)
    else for (const candle of candles.slice(from)) this.#add(candle)
    this.#bands.show(shown)
  }

  draw(lines: readonly Line[]) {
    this.#lines = lines
    for (const line of this.#drawn) this.#series.removePriceLine(line)
    this.#drawn = lines.map(({ price, label, tone }) =>
      this.#series.createPriceLine({
        price,
        title: label,
        color: colour(TONES[tone]),
        lineWidth: 1,
        lineStyle: LineStyle.Dashed,
      }),
    )
  }

  recolour() {
    const [rise, fall] = [colour('--rise'), colour('--fall')]
    const line = colour('--line')
    this.#chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: colour('--surface') }, textColor: colour('--ink-soft') },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
      crosshair: {
        vertLine: { color: colour('--line-strong'), labelBackgroundColor: colour('--accent') },
        horzLine: { color: colour('--line-strong'), labelBackgroundColor: colour('--accent') },
      },
    })
    this.#series.applyOptions({
      upColor: rise,
      wickUpColor: rise,
      borderUpColor: rise,
      downColor: fall,
      wickDownColor: fall,
      borderDownColor: fall,
    })
    this.#volumes.setData(this.#candles.map(bar))
    this.draw(this.#lines)
    this.#bands.show(this.#gaps)
  }

  remove() {
    this.#chart.remove()
  }

  #setAll(isFirst: boolean) {
    const digits = digitsOf(this.#candles.at(-1)?.close ?? 0)
    this.#series.applyOptions({ priceFormat: { type: 'price', precision: digits, minMove: 10 ** -digits } })
    const held = this.#candles.map(({ time, open, high, low, close }) => ({
      time: time as UTCTimestamp,
      open,
      high,
      low,
      close,
    }))
    const holes = this.#gaps.map(({ start }) => ({ time: start as UTCTimestamp }))
    this.#series.setData([...held, ...holes].sort((one, other) => one.time - other.time))
    this.#volumes.setData(this.#candles.map(bar))
    if (!isFirst || !this.#candles.length) return
    const scale = this.#chart.timeScale()
    const fitting = Math.max(30, Math.round(scale.width() / FIRST_BAR_WIDTH))
    const end = held.length + holes.length - 1
    scale.setVisibleLogicalRange({ from: end - Math.min(fitting, end), to: end + ROOM_RIGHT })
  }

  #add(candle: Candle) {
    const { time, open, high, low, close } = candle
    this.#series.update({ time: time as UTCTimestamp, open, high, low, close })
    this.#volumes.update(bar(candle))
  }

  #withLevels(info: AutoscaleInfo | null): AutoscaleInfo | null {
    if (!info?.priceRange) return info
    const { minValue, maxValue } = info.priceRange
    const { low, high } = withinReach(
      minValue,
      maxValue,
      this.#lines.map(({ price }) => price),
    )
    return { ...info, priceRange: { minValue: low, maxValue: high } }
  }
}

const bar = ({ time, open, close, volume }: Candle) => ({
  time: time as UTCTimestamp,
  value: volume,
  color: colour(close < open ? '--fall' : '--rise', 0.4),
})

const isSameGaps = (one: readonly Gap[], other: readonly Gap[]) =>
  one.length === other.length && one.every(({ start }, index) => start === other[index]!.start)
