"""How machines become hosts, and how they stop being some."""

from coordinator.service.enrolment.hosts import ASK_AGAIN_AFTER, EnrolmentService
from coordinator.service.enrolment.ports import Applicant, Certificate, WantedToken

__all__ = ["ASK_AGAIN_AFTER", "Applicant", "Certificate", "EnrolmentService", "WantedToken"]
