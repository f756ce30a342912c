// What draws outside of CSS asks here what a colour of the style is now.
import { onColours } from '../kit/theme'

const known = new Map<string, string>()
onColours(() => known.clear())

/** `--line` as it is computed in the theme of the moment; with `alpha`, so much of it. */
export function colour(token: string, alpha = 1): string {
  const computed = known.get(token) ?? probe(token)
  known.set(token, computed)
  return alpha === 1 ? computed : computed.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`)
}

/** light-dark() is decided for a property that is a colour, not for the token itself. */
function probe(token: string): string {
  const element = document.createElement('span')
  element.style.color = `var(${token})`
  document.body.append(element)
  const computed = getComputedStyle(element).color
  element.remove()
  return computed
}
