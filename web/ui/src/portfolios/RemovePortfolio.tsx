import { useState } from 'react'
import { useLocation } from 'wouter'
import { client, sentence } from '../api/client'
import { RemovePortfolioDocument } from '../gql'
import { Dialog } from '../kit/Dialog'
import { many } from '../kit/figures'
import { Button, Notice } from '../kit/kit'
import { tell } from '../kit/toasts'
import type { Portfolio } from './feed'

/** Asks first; `again` is called when the portfolio is not what was looked at. */
export function RemovePortfolio({ portfolio, again }: { portfolio: Portfolio; again: () => void }) {
  // As it was looked at when the question was asked, whatever becomes of it meanwhile.
  const [asked, setAsked] = useState<Portfolio | null>(null)
  return (
    <>
      <Button onClick={() => setAsked(portfolio)}>Remove</Button>
      {asked && <Question portfolio={asked} close={() => setAsked(null)} again={again} />}
    </>
  )
}

function Question({ portfolio, close, again }: { portfolio: Portfolio; close: () => void; again: () => void }) {
  const { id, name, version, positions } = portfolio
  const [refusal, setRefusal] = useState<{ text: string; version?: number } | null>(null)
  const [, navigate] = useLocation()

  async function remove(expectedVersion: number) {
    const { data, error } = await client.mutation(RemovePortfolioDocument, { id, expectedVersion })
    const answer = data?.removePortfolio
    if (!answer) return setRefusal({ text: sentence(error!) })
    switch (answer.__typename) {
      case 'PortfolioRemoved':
        tell(`The portfolio ${answer.name} is removed. Its symbols are still tracked.`)
        return navigate('/portfolios')
      case 'VersionConflict': {
        const { currentVersion } = answer
        const text = `It was replaced meanwhile: you saw version ${expectedVersion}, it is at ${currentVersion} now. Nothing was removed.`
        again()
        return setRefusal({ text, version: currentVersion })
      }
      default:
        again()
        return setRefusal({ text: 'Somebody has removed it already.' })
    }
  }

  return (
    <Dialog title={`Remove ${name}?`} close={close}>
      <div className="stack">
        <p>Its {many(positions.length, 'lot')} will be gone. The symbols and their history stay.</p>
        {refusal && (
          <Notice tone="warn" role="alert">
            {refusal.text}
          </Notice>
        )}
        <p className="buttons">
          <Button kind="primary" onClick={() => void remove(refusal?.version ?? version)}>
            {refusal?.version === undefined ? `Remove ${name}` : 'Remove it as it is now'}
          </Button>
          <Button onClick={close}>Keep it</Button>
        </p>
      </div>
    </Dialog>
  )
}
