import { createContext, use } from 'react';
import type { Who } from './api.js';

/** Where this tab keeps a draft of rules, until somebody else signs in. */
export const RULES_DRAFT = 'stopgap-rules-draft';

/** Who has signed in. */
export const WhoContext = createContext<Who | undefined>(undefined);

export function useWho(): Who {
  return use(WhoContext)!;
}

/** What a role may do. The server decides; the page does not show what it would refuse. */
export function rightsOf({ role }: Who) {
  const isAdmin = role === 'admin';
  const isOperator = isAdmin || role === 'operator';
  return {
    /** Approve, dismiss and release. */
    decides: isOperator || role === 'domain',
    /** Block, exempt, call a false positive one, and all else that sets a limit. */
    operates: isOperator,
    administers: isAdmin,
    /** Rules and notices are of the whole server. */
    seesServer: role !== 'domain',
  };
}

export function useRights(): ReturnType<typeof rightsOf> {
  return rightsOf(useWho());
}
