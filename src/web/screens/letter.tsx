import { useQuery } from '@tanstack/react-query';
import type { Block } from '../api.js';
import { answered, api, urlOf } from '../api.js';
import { subjectName } from '../parts/blocks.js';
import { Dialog } from '../parts/dialog.js';
import { fault, note } from '../parts/notes.js';
import { Loaded } from '../parts/states.js';

/** The report as a letter that can be sent to the customer. */
export function LetterDialog({ block, close }: { block: Block; close: () => void }) {
  const { id } = block;
  const letter = useQuery({
    queryKey: ['letter', id],
    queryFn: async () => {
      const params = { path: { id }, query: { format: 'text' as const } };
      const text = await answered(api.GET('/api/v1/blocks/{id}/report', { params, parseAs: 'text' }));
      return text as unknown as string;
    },
    gcTime: 0,
  });
  const copy = (text: string): void => {
    // Browsers give it only to pages over HTTPS, or from this machine.
    const { clipboard } = navigator as { clipboard?: Clipboard };
    if (clipboard === undefined)
      fault('The browser does not let this page copy. Select the text, or download it.');
    else clipboard.writeText(text).then(() => void note('Copied the letter.'), fault);
  };
  return (
    <Dialog title={`Letter about ${subjectName(block.subject)}`} close={close}>
      <p className="quiet">It names no administrator, no note and no limit. Read it before you send it.</p>
      <Loaded query={letter}>
        {(text) => (
          <>
            <pre className="letter" tabIndex={0} role="region" aria-label="The letter">
              {text}
            </pre>
            <div className="buttons">
              <button type="button" className="primary" onClick={() => copy(text)} autoFocus>
                Copy
              </button>
              <a
                className="button"
                download={`${block.subject.value.replace(/[^\w.@-]/g, '_')}.txt`}
                href={urlOf(`/api/v1/blocks/${id}/report?format=text`)}
              >
                Download
              </a>
              <button type="button" onClick={close}>
                Close
              </button>
            </div>
          </>
        )}
      </Loaded>
    </Dialog>
  );
}
