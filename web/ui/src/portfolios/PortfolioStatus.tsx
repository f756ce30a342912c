import { words } from '../kit/figures'
import { Badge, type Tone } from '../kit/kit'
import type { Card } from './feed'

const TONES: Record<Card['status'], Tone> = { PENDING: 'info', READY: 'good', PARTIAL: 'warn' }

export const portfolioPath = (id: string) => `/portfolios/${encodeURIComponent(id)}`

export function StatusBadge({ status }: Pick<Card, 'status'>) {
  return <Badge tone={TONES[status]}>{words(status)}</Badge>
}
