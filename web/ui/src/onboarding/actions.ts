// What a viewer may do to an onboarding. Each answers why it was not done; null when it was.
import { client, sentence } from '../api/client'
import { CancelOnboardingDocument, RetryOnboardingDocument } from '../gql'
import { tell } from '../kit/toasts'
import { onboardingFeed } from './feed'
import type { Job } from './jobs'

export async function retry({ id, ticker }: Job): Promise<string | null> {
  const { data, error } = await client.mutation(RetryOnboardingDocument, { jobId: id })
  const answer = data?.retryOnboarding
  if (!answer) return sentence(error!)
  switch (answer.__typename) {
    case 'OnboardingQueued':
      onboardingFeed.learn(...answer.jobs)
      tell(answer.jobs.length ? `${ticker} is queued again.` : `${ticker} is ready: there is nothing to do.`)
      return null
    case 'JobNotRetryable':
      onboardingFeed.learn(answer.job)
      return answer.message
    default:
      return answer.message
  }
}

export async function cancel({ id, ticker }: Job): Promise<string | null> {
  const { data, error } = await client.mutation(CancelOnboardingDocument, { jobId: id })
  const answer = data?.cancelOnboarding
  if (!answer) return sentence(error!)
  switch (answer.__typename) {
    case 'OnboardingCancelled':
      onboardingFeed.learn(answer.job)
      tell(`The onboarding of ${ticker} is cancelled.`)
      return null
    case 'JobNotCancellable':
      onboardingFeed.learn(answer.job)
      return answer.message
    default:
      return answer.message
  }
}
