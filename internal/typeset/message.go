package typeset

import "synscope/event"

// messageNames are the names as RFC 8446 and RFC 5246 write them.
var messageNames = map[event.HandshakeType]string{
	event.HelloRequest: "HelloRequest", event.ClientHelloType: "ClientHello", event.ServerHelloType: "ServerHello",
	event.NewSessionTicketType: "NewSessionTicket", event.EndOfEarlyData: "EndOfEarlyData",
	event.HelloRetryRequest: "HelloRetryRequest", event.EncryptedExts: "EncryptedExtensions",
	event.CertificateType: "Certificate", event.ServerKeyExchangeType: "ServerKeyExchange",
	event.CertRequestType: "CertificateRequest", event.ServerHelloDone: "ServerHelloDone",
	event.CertVerifyType: "CertificateVerify", event.ClientKeyExchangeType: "ClientKeyExchange",
	event.FinishedType: "Finished", event.CertStatusType: "CertificateStatus", event.KeyUpdateType: "KeyUpdate",
	event.CompressedCertificate: "CompressedCertificate", event.MessageHash: "message_hash",
}

// MessageName is the name of a message, in the brackets of its epoch.
func MessageName(m *event.Message) string {
	name, ok := messageNames[m.Type]
	if !ok {
		name = "handshake message " + m.Type.String()
	}
	return Bracket(name, m.Epoch, m.Encrypted)
}

// Bracket writes what is encrypted as RFC 8446, section 2, does.
func Bracket(name string, e event.Epoch, encrypted bool) string {
	switch {
	case e == event.EpochApplication:
		return "[" + name + "]"
	case e == event.EpochEarly:
		return "(" + name + ")"
	case e == event.EpochHandshake, e == event.EpochEncrypted, encrypted:
		return "{" + name + "}"
	}
	return name
}
