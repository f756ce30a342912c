// What is known of onboarding jobs, and how they are told to people.
import type { JobFragment } from '../gql'
import { words } from '../kit/figures'

export type Job = JobFragment

export const isActive = ({ status }: Job) => status === 'PENDING' || status === 'PROCESSING'
export const isRetryable = ({ status }: Job) => status === 'FAILED' || status === 'PARTIAL' || status === 'CANCELLED'

/** Only ever grows for a job, so that of two pictures of it the later one is told, whichever came first. */
export function howFar(job: Job): number {
  const waitsAgain = job.status === 'PENDING' && job.attempts > 0
  return (isActive(job) ? 0 : 1_000_000) + job.attempts * 1_000 + (waitsAgain ? 500 : 0) + job.progressPercent
}

/** Of those that have ended the newest first; then those under way, and those that wait, in the order of the queue. */
export function inOrder(jobs: Iterable<Job>): Job[] {
  return [...jobs].sort(
    (one, other) =>
      (other.finishedAt ?? '').localeCompare(one.finishedAt ?? '') ||
      (one.position ?? 0) - (other.position ?? 0) ||
      one.queuedAt.localeCompare(other.queuedAt),
  )
}

export function newestByTicker(jobs: Iterable<Job>): ReadonlyMap<string, Job> {
  const newest = new Map<string, Job>()
  for (const job of jobs) {
    const held = newest.get(job.ticker)
    if (!held || held.queuedAt < job.queuedAt) newest.set(job.ticker, job)
  }
  return newest
}

/** Where an active job stands: `fetching prices, about 4 s left`. */
export function whereabouts({ status, phase, position, estimatedSeconds, attempts, maxAttempts }: Job): string {
  const left = estimatedSeconds !== null && `about ${estimatedSeconds} s left`
  const parts =
    status === 'PROCESSING'
      ? [words(phase), left, attempts > 1 && `attempt ${attempts} of ${maxAttempts}`]
      : [
          attempts > 0 && `waits for attempt ${attempts + 1} of ${maxAttempts}`,
          position !== null && `place ${position} in the queue`,
          left,
        ]
  return parts.filter(Boolean).join(', ')
}
