// The chart itself, by TradingView's library. Loaded when the first one is shown.
import {
  type AutoscaleInfo,
  CandlestickSeries,
  ColorType,
  CrosshairMode,
  createChart,
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
  TickMarkType,
  type UTCTimestamp,
} from 'lightweight-charts'
import { digitsOf, figureOf } from '../kit/figures'
import { type Candle, continuesAt, type Gap, gapsBetween, type Line, withinReach } from './candles'
import { colour } from './colours'
import { GapBands, LevelLines } from './marks'

const FIRST_BAR_WIDTH = 7
const ROOM_RIGHT = 4
/** The room of so many bars is there from the start: those of a day that has just begun grow into it. */
const FEWEST_SHOWN = 60
/** So near to the oldest bar, older ones are wanted. */
const NEAR = 12

export type Hearers = { onHover: (time: number | null) => void; onBeginning: () => void }
export type Times = { isDaily: boolean; tick: (seconds: number, isDate: boolean) => string; full: (seconds: number) => string }

export class CandleChart {
  readonly #chart: IChartApi
  readonly #series: ISeriesApi<'Candlestick'>
  readonly #volumes: ISeriesApi<'Histogram'>
  readonly #bands = new GapBands()
  readonly #levels = new LevelLines()
  #candles: readonly Candle[] = []
  #gaps: readonly Gap[] = []

  constructor(element: HTMLElement, times: Times, hear: Hearers) {
    this.#chart = createChart(element, {
      autoSize: true,
      // The logo would put a style sheet into the page, which its policy refuses; the attribution stands below the chart.
      layout: { attributionLogo: false, fontFamily: getComputedStyle(element).fontFamily },
      crosshair: { mode: CrosshairMode.Normal },
      // The wheel and a finger that go up or down scroll the page.
      handleScale: { mouseWheel: false },
      handleScroll: { vertTouchDrag: false },
      localization: { timeFormatter: (time: UTCTimestamp) => times.full(time) },
      timeScale: {
        rightOffset: ROOM_RIGHT,
        timeVisible: !times.isDaily,
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
    this.#series.attachPrimitive(this.#levels)
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
    this.#levels.show(lines)
  }

  /** Shows so many times the bars that are shown now, up to the same one. */
  zoom(times: number) {
    const range = this.#chart.timeScale().getVisibleLogicalRange()
    if (range)
      this.#chart.timeScale().setVisibleLogicalRange({ from: range.to - (range.to - range.from) * times, to: range.to })
  }

  /** Goes by such a share of what is shown; to older bars where it is negative. */
  move(share: number) {
    const range = this.#chart.timeScale().getVisibleLogicalRange()
    if (!range) return
    const newest = this.#candles.length + this.#gaps.length + ROOM_RIGHT
    const by = Math.min((range.to - range.from) * share, newest - range.to)
    this.#chart.timeScale().setVisibleLogicalRange({ from: range.from + by, to: range.to + by })
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
  }

  remove() {
    this.#chart.remove()
  }

  #setAll(isFirst: boolean) {
    const close = this.#candles.at(-1)?.close ?? 0
    this.#series.applyOptions({ priceFormat: { type: 'custom', formatter: figureOf(close), minMove: 10 ** -digitsOf(close) } })
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
    scale.setVisibleLogicalRange({ from: end - Math.min(fitting, Math.max(end, FEWEST_SHOWN)), to: end + ROOM_RIGHT })
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
      this.#levels.lines.map(({ price }) => price),
    )
    return { ...info, priceRange: { minValue: low, maxValue: high } }
  }
}

/** Of what has no volume, as currencies have none, there is nothing to see. */
const bar = ({ time, open, close, volume }: Candle) =>
  volume > 0
    ? { time: time as UTCTimestamp, value: volume, color: colour(close < open ? '--fall' : '--rise', 0.4) }
    : { time: time as UTCTimestamp }

const isSameGaps = (one: readonly Gap[], other: readonly Gap[]) =>
  one.length === other.length && one.every(({ start }, index) => start === other[index]!.start)
