package enrich

import (
	"fmt"
	"runtime/debug"
)

// PanicError is a panic that was recovered in a goroutine of an exchange.
type PanicError struct {
	Value any    // of the call to panic
	Stack []byte // of the goroutine that panicked, as debug.Stack returns it
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// AsPanic returns the error for a recovered value, or nil for nil. The deferred function that recovers must call it,
// because its stack still contains the panic. If the value is a PanicError, AsPanic returns it unchanged.
func AsPanic(recovered any) *PanicError {
	switch value := recovered.(type) {
	case nil:
		return nil
	case *PanicError:
		return value
	default:
		return &PanicError{Value: value, Stack: debug.Stack()}
	}
}
