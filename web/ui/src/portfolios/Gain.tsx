import { gain, percent } from '../kit/figures'

/** Of a cost: with its sign, its colour and, where it is given, in percent. */
export function Gain({ amount, currency, inPercent }: { amount: string; currency: string; inPercent?: string }) {
  const direction = Number(amount) < 0 ? 'fall' : Number(amount) > 0 ? 'rise' : ''
  const share = inPercent !== undefined && Number(inPercent)
  return (
    <span className={direction}>
      {gain(amount, currency)}
      {share !== false && ` (${share > 0 ? '+' : ''}${percent(share / 100, 2)})`}
    </span>
  )
}
