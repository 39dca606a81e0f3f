package enrich

import "time"

// Changes receives the changes of the documents of a collection, so that copies of them can be invalidated. One
// goroutine calls its methods, in the order of the changes. When it has been called for a change, later reads of the
// store return the result of that change or of a later one.
type Changes interface {
	// Begin is called when changes from now on are reported. Earlier ones may have been missed.
	Begin()

	// Change is called for a change of the document with an [Extension] ID.
	Change(id string)

	// Match is called for a changed document that now has a key of a source.
	Match(src *Source, key Key)

	// ChangeAny is called for a change that may concern any read of the collection.
	ChangeAny()

	// Current is called when all changes until at have been reported.
	Current(at time.Time)

	// Lost is called when changes are not reported for some time. When Current is called, either they have been reported,
	// or Begin was called.
	Lost()

	// Unsupported is called instead of Lost if the store cannot report changes of the collection.
	Unsupported()
}
