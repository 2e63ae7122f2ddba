CREATE TABLE `ids` (
	`hash` integer NOT NULL,
	`id` integer NOT NULL,
	PRIMARY KEY(`hash`, `id`)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `indexed` (
	`id` integer PRIMARY KEY NOT NULL,
	`up_to` integer NOT NULL
) STRICT;
--> statement-breakpoint
-- The start that follows indexes what is there.
INSERT INTO `indexed` VALUES (1, 0);
--> statement-breakpoint
DROP INDEX `transactions_transaction_id_unique`;
--> statement-breakpoint
-- As it was; and the key of a deleted newest transaction is given again, to one that is not indexed.
DROP TRIGGER `transactions_deleted`;
--> statement-breakpoint
CREATE TRIGGER `transactions_deleted` AFTER DELETE ON `transactions` BEGIN
	UPDATE `gaps` SET `count` = `count` + 1 +
		min(coalesce((SELECT max(`id`) FROM `transactions`), 0) - old.`id`, 0);
	UPDATE `indexed` SET `up_to` = min(`up_to`, coalesce((SELECT max(`id`) FROM `transactions`), 0));
END;
--> statement-breakpoint
-- Where somebody changed one, the next start indexes all anew. It may be one that is in memory only:
-- -1 is never what the process expects, which then leaves it.
CREATE TRIGGER `transactions_renamed` AFTER UPDATE OF `id`, `transaction_id` ON `transactions` BEGIN
	UPDATE `indexed` SET `up_to` = -1;
END;
