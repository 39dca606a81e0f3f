package extproc

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
)

// reply describes a ProcessingResponse.
type reply struct {
	to      string         // the kind of message that it replies to; empty for an ImmediateResponse
	change  enrich.Headers // of the request or the response
	newBody bool           // body replaces the body
	body    []byte
	replace bool // CONTINUE_AND_REPLACE
	status  int  // of an ImmediateResponse

	timing string // value of a server-timing header to append; empty for none

	mode filterv3.ProcessingMode_BodySendMode // for the body of the response; NONE changes nothing
}

func (r *reply) message() *extprocv3.ProcessingResponse {
	message := &extprocv3.ProcessingResponse{}
	switch r.to {
	case requestHeaders:
		message.Response = &extprocv3.ProcessingResponse_RequestHeaders{
			RequestHeaders: &extprocv3.HeadersResponse{Response: r.common()},
		}
	case responseHeaders:
		message.Response = &extprocv3.ProcessingResponse_ResponseHeaders{
			ResponseHeaders: &extprocv3.HeadersResponse{Response: r.common()},
		}
	case responseBody:
		message.Response = &extprocv3.ProcessingResponse_ResponseBody{
			ResponseBody: &extprocv3.BodyResponse{Response: r.common()},
		}
	default:
		message.Response = &extprocv3.ProcessingResponse_ImmediateResponse{ImmediateResponse: &extprocv3.ImmediateResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode(r.status)}, Headers: r.mutation(), Body: r.body, Details: "weft",
		}}
	}
	if r.mode != filterv3.ProcessingMode_NONE {
		message.ModeOverride = &filterv3.ProcessingMode{
			RequestHeaderMode:  filterv3.ProcessingMode_SEND,
			ResponseHeaderMode: filterv3.ProcessingMode_SEND,
			ResponseBodyMode:   r.mode,
		}
	}
	return message
}

func (r *reply) common() *extprocv3.CommonResponse {
	common := &extprocv3.CommonResponse{HeaderMutation: r.mutation()}
	if r.newBody {
		common.BodyMutation = &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: r.body}}
	}
	if r.replace {
		common.Status = extprocv3.CommonResponse_CONTINUE_AND_REPLACE
	}
	return common
}

func (r *reply) mutation() *extprocv3.HeaderMutation {
	if len(r.change.Set)+len(r.change.Remove) == 0 && r.timing == "" {
		return nil
	}
	m := &extprocv3.HeaderMutation{RemoveHeaders: r.change.Remove}
	for _, h := range r.change.Set {
		m.SetHeaders = append(m.SetHeaders, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: h.Name, RawValue: []byte(h.Value)},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	if r.timing != "" {
		m.SetHeaders = append(m.SetHeaders, &corev3.HeaderValueOption{
			Header: &corev3.HeaderValue{Key: "server-timing", RawValue: []byte(r.timing)},
			// An append_action of 0, which would append, counts as unset: Envoy overwrites.
			Append: wrapperspb.Bool(true), //nolint:staticcheck // for that reason
		})
	}
	return m
}
