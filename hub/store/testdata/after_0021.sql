UPDATE rollout SET change_cause = 'ticket 12' WHERE id = 'ro-1';
